//! Units, Dockerfile and manifest: of commands, keys and ports that exist. No image is built here and no cluster asked.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;
use wxedge_tests::folder::Folder;

use crate::file;
use crate::servers::edge_program;

const UNITS: [&str; 3] = ["wxedge.service", "wxedge@.service", "wxedge-sidecar.service"];

/// The settings of a unit, comments left out.
fn settings(unit: &str) -> Vec<(String, String)> {
    let text = file(&format!("conf/{unit}"));
    let lines =
        text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    lines.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn setting(unit: &str, key: &str) -> String {
    let found = settings(unit).into_iter().find(|(other, _)| other == key);
    found.unwrap_or_else(|| panic!("{unit}: no {key}")).1
}

fn seconds(unit: &str, key: &str) -> u64 {
    setting(unit, key).parse().unwrap()
}

#[test]
fn units_start_what_there_is_and_wait_longer_than_it_does() {
    for unit in UNITS {
        let start = setting(unit, "ExecStart");
        let (program, arguments) =
            start.strip_prefix("/usr/local/bin/").unwrap().split_once(' ').unwrap();
        assert!(unit.starts_with(program.trim_end_matches(".service")));
        let path = if program == "wxedge" {
            edge_program()
        } else {
            env!("CARGO_BIN_EXE_wxedge-sidecar").into()
        };
        let (command, options) = arguments.split_once(' ').unwrap();
        let help = Command::new(path).args([command, "--help"]).output().unwrap();
        assert!(help.status.success(), "{start}");
        let help = String::from_utf8(help.stdout).unwrap();
        for option in options.split(' ').filter(|option| option.starts_with("--")) {
            assert!(help.contains(option), "{start}: {option}");
        }
        // runtime.grace_s, and what the sidecar waits.
        assert!(seconds(unit, "TimeoutStopSec") > if program == "wxedge" { 10 } else { 5 });
        assert_eq!(setting(unit, "StateDirectory"), program);
        assert_eq!(setting(unit, "WorkingDirectory"), format!("/var/lib/{program}"));
        assert_eq!(setting(unit, "User"), program);
    }
    assert!(seconds("wxedge.service", "LimitNOFILE") > 65_888, "or the edge warns");
    assert!(setting("wxedge.service", "ExecReload").contains("-HUP"));
}

#[test]
fn units_are_hardened_alike() {
    let hardening = |unit| {
        let all = settings(unit).into_iter();
        all.skip_while(|(key, _)| key != "CapabilityBoundingSet").collect::<Vec<_>>()
    };
    let expected = hardening(UNITS[0]);
    assert!(expected.len() > 20);
    for unit in &UNITS[1..] {
        assert_eq!(hardening(unit), expected, "{unit}");
    }
    let [one, template] = [UNITS[0], UNITS[1]].map(|unit| {
        let mut settings = settings(unit);
        settings.retain(|(key, _)| !["Description", "ExecStart"].contains(&key.as_str()));
        settings
    });
    assert_eq!(one, template, "the template is the unit, with --upgrade");
    assert_eq!(setting(UNITS[1], "ExecStart"), setting(UNITS[0], "ExecStart") + " --upgrade");
}

/// With users and programs of this machine in place of those that an installation makes.
#[test]
fn systemd_takes_the_units() {
    let folder = Folder::new();
    for unit in UNITS {
        let text = file(&format!("conf/{unit}"));
        let text = text
            .replace("/usr/local/bin/wxedge-sidecar", "/bin/true")
            .replace("/usr/local/bin/wxedge", "/bin/true");
        let text =
            text.lines().filter(|line| !line.starts_with("User=") && !line.starts_with("Group="));
        let text = text.map(|line| format!("{line}\n")).collect::<String>();
        let path = folder.write(&unit.replace("@.", "@a."), text);
        let output = Command::new("systemd-analyze").arg("verify").arg(path).output();
        let output = output.expect("systemd-analyze; apt-get install systemd");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let ours = said.lines().find(|line| line.contains(folder.path().to_str().unwrap()));
        assert!(output.status.success() && ours.is_none(), "{unit}: {said}");
    }
}

#[test]
fn the_image_has_both_programs_and_runs_as_nobody_special() {
    let text = file("conf/Dockerfile");
    let with = |beginning: &str| {
        text.lines().find(|line| line.starts_with(beginning)).map(str::to_owned).unwrap()
    };
    assert!(
        text.contains("install -y --no-install-recommends cmake"),
        "a dependency is built with it"
    );
    assert!(with("FROM rust:").contains(env!("CARGO_PKG_RUST_VERSION")));
    assert!(
        text.contains("cargo build --release --locked --package wxedge --package wxedge-sidecar")
    );
    assert!(
        with("COPY --from=build")
            .contains("/src/target/release/wxedge /src/target/release/wxedge-sidecar ")
    );
    assert_eq!(with("USER"), "USER 10001");
    let defaults = file("conf/wxedge.toml") + &file("conf/sidecar.toml");
    for port in with("EXPOSE").split(' ').skip(1) {
        assert!(defaults.contains(&format!(":{port}\"")), "nobody listens on {port}");
    }
    let command: Vec<String> =
        serde_json::from_str(with("CMD").strip_prefix("CMD ").unwrap()).unwrap();
    assert_eq!(command[..2], ["run", "--config"]);
}

fn manifests() -> BTreeMap<String, Value> {
    let all: Vec<Value> = serde_saphyr::from_multiple(&file("conf/kubernetes.yml")).unwrap();
    all.into_iter()
        .map(|manifest| (manifest["kind"].as_str().unwrap().to_owned(), manifest))
        .collect()
}

#[test]
fn the_configurations_in_the_manifest_are_taken() {
    let files = manifests()["Secret"]["stringData"].clone();
    let folder = Folder::new();
    let path = folder.write("wxedge.toml", files["wxedge.toml"].as_str().unwrap());
    let check = Command::new(edge_program())
        .args(["check", "--config"])
        .arg(path)
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
    let path = folder.write("sidecar.toml", files["sidecar.toml"].as_str().unwrap());
    wxedge_sidecar::config::Config::load(&path, &BTreeMap::new()).unwrap();
}

#[test]
fn the_manifest_is_of_one_piece() {
    let manifests = manifests();
    let set = &manifests["StatefulSet"]["spec"];
    assert_eq!(set["replicas"], 1, "one process owns the store");
    let pod = &set["template"]["spec"];
    let containers = pod["containers"].as_array().unwrap();
    let files = manifests["Secret"]["stringData"].as_object().unwrap();
    let mut ports = BTreeMap::new();
    for container in containers {
        let command: Vec<_> = container["command"]
            .as_array()
            .unwrap()
            .iter()
            .map(|word| word.as_str().unwrap())
            .collect();
        assert_eq!(command[1..3], ["run", "--config"]);
        let mounts = container["volumeMounts"].as_array().unwrap();
        let mount = mounts
            .iter()
            .find(|mount| mount["mountPath"] == command[3])
            .expect("its file is mounted");
        assert!(files.contains_key(mount["subPath"].as_str().unwrap()));
        for port in container["ports"].as_array().unwrap() {
            ports.insert(
                port["name"].as_str().unwrap().to_owned(),
                port["containerPort"].as_u64().unwrap(),
            );
        }
        assert_eq!(container["livenessProbe"]["httpGet"]["path"], "/healthz");
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    }
    for (name, port) in &ports {
        let listens = files
            .values()
            .any(|file| file.as_str().unwrap().contains(&format!("0.0.0.0:{port}\"")));
        assert!(listens, "nobody listens on {name}, {port}");
    }
    for port in manifests["Service"]["spec"]["ports"].as_array().unwrap() {
        assert!(ports.contains_key(port["targetPort"].as_str().unwrap()), "{port}");
    }
    assert_eq!(manifests["Service"]["metadata"]["name"], "wxedge", "Prometheus' job");
    let edge = &containers[0];
    assert_eq!(edge["readinessProbe"]["httpGet"]["path"], "/readyz");
    let pause: u64 =
        edge["lifecycle"]["preStop"]["exec"]["command"][1].as_str().unwrap().parse().unwrap();
    assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() > pause + 10);
    let user = &pod["securityContext"]["runAsUser"];
    assert!(file("conf/Dockerfile").contains(&format!("USER {user}\n")));
}
