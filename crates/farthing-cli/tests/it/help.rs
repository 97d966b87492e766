//! What help says, word for word.

use crate::world::{farthing, run};
use std::path::Path;

const COMMANDS: [&[&str]; 35] = [
    &[],
    &["wallet"],
    &["wallet", "new"],
    &["wallet", "show"],
    &["deposit"],
    &["get"],
    &["tip"],
    &["balance"],
    &["history"],
    &["budget"],
    &["withdraw"],
    &["reserve"],
    &["request-close"],
    &["finalize-close"],
    &["renew"],
    &["escrow", "deploy"],
    &["escrow", "show"],
    &["escrow", "verify"],
    &["serve"],
    &["earnings"],
    &["redeem"],
    &["fee-history"],
    &["close"],
    &["refund"],
    &["statement"],
    &["store", "verify"],
    &["store", "export"],
    &["store", "import"],
    &["split", "deploy"],
    &["split", "show"],
    &["split", "release"],
    &["operator", "set"],
    &["operator", "show"],
    &["operator", "delegate"],
    &["demo"],
];

fn help(command: &[&str]) -> String {
    let ran = run(farthing().args(command).arg("--help"));
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{command:?}");
    ran.stdout
}

#[test]
fn help_says_what_it_said() {
    insta::assert_snapshot!("farthing", help(&[]));
    for command in &COMMANDS[1..] {
        let text = help(command);
        // The same options everywhere: once is enough.
        let own = text.split("Options for every command:").next().unwrap_or_default();
        let examples = text.split_once("Examples:").or_else(|| text.split_once("Example:"));
        let examples = examples.map(|(_, examples)| format!("Examples:{examples}")).unwrap_or_default();
        insta::assert_snapshot!(format!("farthing-{}", command.join("-")), format!("{own}…\n{examples}"));
    }
}

#[test]
fn every_flag_and_command_is_documented_within_a_hundred_columns() {
    for command in COMMANDS {
        for line in help(command).lines() {
            assert!(line.chars().count() <= 100, "{command:?}: {line}");
        }
    }
    // A flag without words would be the last thing on its line.
    for line in run(farthing().args(["get", "-h"])).stdout.lines().filter(|line| line.trim_start().starts_with('-')) {
        assert!(!line.trim_end().ends_with('>'), "{line}");
    }
}

#[test]
fn the_long_help_documents_every_exit_code() {
    let text = help(&[]);
    let codes: Vec<u8> = text
        .lines()
        .skip_while(|line| !line.starts_with("Exit codes"))
        .filter_map(|line| line.split_whitespace().next()?.parse().ok())
        .collect();
    assert_eq!(codes, (0..=12).collect::<Vec<u8>>());
}

/// Whatever is in help is in the handbook, under its own name.
#[test]
fn the_handbook_names_every_command_flag_variable_and_code() {
    let handbook = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli.md");
    let handbook = std::fs::read_to_string(handbook).expect("docs/cli.md");
    for command in &COMMANDS[1..] {
        assert!(handbook.contains(&format!("farthing {}", command.join(" "))), "{command:?}");
        for word in help(command).split([' ', '\n', '=', '[', ']', ',']) {
            let is_flag = word.starts_with("--") && word.len() > 2 && word.bytes().skip(2).all(|byte| byte != b'.');
            assert!(!is_flag || handbook.contains(word), "{command:?}: {word}");
            let is_variable = word.starts_with("FARTHING_") || word.starts_with("ETH_");
            assert!(!is_variable || handbook.contains(word), "{command:?}: {word}");
        }
    }
    for code in 0..=12 {
        assert!(handbook.contains(&format!("\n| {code} | ")), "exit code {code}");
    }
}

#[test]
fn version_and_help_are_data_and_a_wrong_word_is_an_error() {
    let version = run(farthing().arg("--version"));
    assert_eq!(version.text(), format!("farthing {}", env!("CARGO_PKG_VERSION")));
    let wrong = run(farthing().args(["--json", "gett"]));
    assert_eq!(wrong.failed(2), "unrecognized subcommand 'gett'");
    assert!(wrong.stderr.contains("hint: a similar subcommand exists: 'get'"), "{wrong:?}");
    let missing = run(farthing().arg("get"));
    assert_eq!(missing.failed(2), "the following required arguments were not provided: <URL>");
    assert!(missing.stderr.contains("hint: write farthing get <URL>; --help says more"), "{missing:?}");
    run(farthing().args(["--json", "deposit", "5", "--token", "five"])).failed(2);
    assert_eq!(run(&mut farthing()).code, 2, "nothing to do");
}
