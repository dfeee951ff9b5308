//! Configuration text: whatever it says, reading it ends, and what is said about it repeats no value.

use std::collections::BTreeMap;

use bolero::check;
use wxedge::config::Config;

const COMPLETE: &str = include_str!("../../conf/wxedge.toml");
const CANARY: &str = "Canary7d1";

/// What can be printed about a text.
fn printed(text: &str, environment: &BTreeMap<String, String>) -> String {
    match Config::parse(text, environment) {
        Ok(config) => format!("{config:?}"),
        Err(issues) => {
            let shown = issues.to_string();
            assert_eq!(
                shown.lines().count(),
                issues.mistakes.len(),
                "an issue is one line: {shown}"
            );
            format!("{shown}{issues:?}")
        }
    }
}

/// Any text, alone and behind a valid one, and any environment.
#[test]
fn any_text_and_environment() {
    check!().with_type::<(String, String, String)>().for_each(|(text, name, value)| {
        let environment = BTreeMap::from([(format!("WXEDGE__{name}"), value.replace('\0', ""))]);
        printed(text, &environment);
        printed(&format!("{COMPLETE}{text}"), &BTreeMap::new());
    });
}

/// Every key of the complete file with a value of any kind that carries a canary; also over the environment.
#[test]
fn a_value_in_the_wrong_place_is_not_repeated() {
    let lines: Vec<&str> = COMPLETE.lines().collect();
    let is_key = |line: &&str| {
        let text = line.trim_start_matches('#');
        text.contains(" = ") && text.starts_with(|first: char| first.is_ascii_lowercase())
    };
    let keys: Vec<usize> = (0..lines.len()).filter(|at| is_key(&lines[*at])).collect();
    check!().with_type::<(u8, u8, String)>().for_each(|(key, kind, text)| {
        let at = keys[usize::from(*key) % keys.len()];
        let (key, _) = lines[at].trim_start_matches('#').split_once(" = ").unwrap_or_default();
        let text: String =
            text.chars().filter(|c| c.is_ascii_alphanumeric() || ":/@.-_ ".contains(*c)).collect();
        let value = match kind % 5 {
            0 => format!("\"{text}{CANARY}\""),
            1 => format!("\"{CANARY}{text}\""),
            2 => format!("[\"{text}{CANARY}\", \"{CANARY}\"]"),
            3 => format!("[[\"{CANARY}\"], 1]"),
            _ => format!("\"{text}{CANARY}"),
        };
        let line = format!("{key} = {value}");
        let file: Vec<&str> = lines
            .iter()
            .enumerate()
            .map(|(i, old)| if i == at { line.as_str() } else { old })
            .collect();
        // A name that is meant to be seen: the appid, the path, the nickname, a client's patterns, folders and files.
        let public = |shown: &str| {
            [
                "appid",
                "path",
                "nickname",
                "allow",
                "jssdk_hosts",
                "url",
                "api_base",
                "proxy",
                "upgrade_sock",
                "key_file",
            ]
            .contains(&key)
                && !shown.contains("(line ")
        };
        let shown = printed(&file.join("\n"), &BTreeMap::new());
        assert!(public(&shown) || !shown.contains(CANARY), "{line}\n{shown}");
    });
}
