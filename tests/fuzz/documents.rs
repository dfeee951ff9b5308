//! Turns fuzz bytes into documents that are nearly right: most of the interesting inputs are, and
//! random bytes are not.

/// Names that mean something, and some that do not.
const NAMES: [&str; 16] = [
    "ToUserName",
    "FromUserName",
    "CreateTime",
    "MsgType",
    "Event",
    "EventKey",
    "MsgId",
    "Encrypt",
    "Content",
    "item",
    "List",
    "Articles",
    "Title",
    "a",
    "b-1.x",
    "名",
];
/// Texts that mean something, and some that break careless code.
const TEXTS: [&str; 16] = [
    "text",
    "event",
    "news",
    "1700000000",
    "-007",
    "9223372036854775808",
    "",
    " ",
    "\n    ",
    "你好😀",
    "\"\\\u{1}\0",
    "]]&gt;",
    "&amp;&lt;&#65;&#x1F600;",
    "xpay_x",
    "unsubscribe",
    "oABC",
];
/// What may stand anywhere and mostly must not.
const ODDITIES: [&str; 16] = [
    "<!DOCTYPE x>",
    "<?php ?>",
    "&x;",
    "&#0;",
    "<",
    ">",
    "</",
    "]]>",
    "<!-- c -->",
    "<!--",
    "<![CDATA[",
    "\u{feff}",
    "\0",
    "<a",
    " x=\"1\"",
    "&",
];

fn pick<'a>(table: &[&'a str; 16], byte: u8) -> &'a str {
    table[usize::from(byte & 15)]
}

/// XML: an instruction a byte, most of them well-formed; what is open at the end is closed, nearly
/// always.
pub(crate) fn xml(bytes: &[u8]) -> String {
    let mut out = String::from("<xml>");
    let mut open = vec!["xml"];
    for byte in bytes {
        match byte >> 4 {
            0..=3 => {
                let name = pick(&NAMES, *byte);
                out.push_str(&format!("<{name}>"));
                open.push(name);
            }
            4 => out.push_str(&format!(
                "<{} x='{}' y=\"1\"/>",
                pick(&NAMES, *byte),
                pick(&TEXTS, *byte)
            )),
            5 | 6 => out.push_str(pick(&TEXTS, *byte)),
            7 | 8 => out.push_str(&format!("<![CDATA[{}]]>", pick(&TEXTS, *byte))),
            9..=13 => {
                if open.len() > 1 {
                    out.push_str(&format!("</{}>", open.pop().unwrap_or_default()));
                }
            }
            14 => {
                let name = pick(&NAMES, *byte);
                out.push_str(&format!("<{name}>{}</{name}>\n", pick(&TEXTS, byte.rotate_left(3))));
            }
            _ => {
                if byte & 8 != 0 && bytes.len().is_multiple_of(5) {
                    out.push_str(pick(&ODDITIES, byte.wrapping_add(bytes.len() as u8)));
                }
            }
        }
    }
    if bytes.len() % 16 != 15 {
        while let Some(name) = open.pop() {
            out.push_str(&format!("</{name}>"));
        }
    }
    out
}

/// JSON, in the same manner.
pub(crate) fn json(bytes: &[u8]) -> String {
    let mut values = bytes.iter().copied();
    let mut out = String::new();
    object(&mut values, 0, &mut out);
    if bytes.len() % 16 == 15 {
        out.push_str(pick(&ODDITIES, bytes[0]));
    }
    out
}

fn object(bytes: &mut impl Iterator<Item = u8>, depth: usize, out: &mut String) {
    out.push('{');
    let mut separator = "";
    while let Some(byte) = bytes.next().filter(|byte| *byte < 0xd0) {
        out.push_str(separator);
        separator = ",";
        out.push_str(&format!("\"{}\" : ", pick(&NAMES, byte).replace("b-1.x", "\\u0061 ")));
        value(bytes, depth, out);
    }
    out.push('}');
}

fn value(bytes: &mut impl Iterator<Item = u8>, depth: usize, out: &mut String) {
    const SCALARS: [&str; 16] = [
        "0",
        "-1",
        "1.50",
        "1e3",
        "23637352235060880",
        "1700000000",
        "true",
        "false",
        "null",
        "\"\\u4f60\\ud83d\\ude00\"",
        "\"\\n\\\"\\\\\\/\"",
        "01",
        "NaN",
        "\"\\x\"",
        "+1",
        "\"\\ud800\"",
    ];
    match bytes.next().unwrap_or_default() {
        byte if byte >= 0xc0 && depth < 20 => object(bytes, depth + 1, out),
        byte if byte >= 0xa0 && depth < 20 => {
            out.push('[');
            for index in 0..byte & 3 {
                out.push_str(if index > 0 { ", " } else { " " });
                value(bytes, depth + 1, out);
            }
            out.push(']');
        }
        byte if byte >= 0x50 => {
            out.push_str(&format!("\"{}\"", pick(&TEXTS, byte).replace(['"', '\\'], "'")))
        }
        // The wrong ones are rarer, or no document would be right.
        byte => out.push_str(pick(&SCALARS, if byte < 4 { byte + 11 } else { byte % 11 })),
    }
}
