//! The main job, and what is left of it when it is killed.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn demo() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_farthing"));
    command.args(["demo", "--json", "--tools", concat!(env!("CARGO_MANIFEST_DIR"), "/../..")]);
    command
}

#[test]
fn the_main_job_balances_to_the_base_unit() {
    let output = demo().output().expect("runs");
    let talk = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{talk}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let report: serde_json::Value = serde_json::from_str(text.lines().last().expect("a line")).expect("JSON");
    assert_eq!(report["items"], report["vouchers"]);
    assert_eq!(report["paid"], report["redeemed"]);
    assert_eq!(report["escrow_balance"], "0");
    let creators = report["creators"].as_array().expect("creators");
    assert_eq!(creators.len(), 2);
    assert!(creators.iter().all(|creator| creator["creator_transactions"] == 1), "only the last voucher is redeemed");
    assert_eq!(creators[0]["sells_on"], "credit");
    assert_eq!(creators[0]["listener_transactions"], 0, "credit costs the listener no transaction");
    let band = &creators[0]["band"];
    let members = band["members"].as_array().expect("members");
    let parts: Vec<&str> = members.iter().map(|member| member["balance"].as_str().expect("an amount")).collect();
    assert_eq!(parts, ["666667", "666667", "666666"], "two dollars among three, and nothing is left over");
    assert_eq!((&creators[0]["balance"], &band["transactions"]), (&"0".into(), &3.into()));
    assert!(creators[1]["band"].is_null());
    assert_eq!(report["setup_transactions"], 3, "the escrow, the factory and the split");
    for field in ["transactions", "refunded", "gas_total", "gas_per_item"] {
        assert!(!report[field].is_null(), "{field}");
    }
}

#[test]
fn the_report_for_people_fits_into_eighty_columns() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_farthing"));
    let output =
        command.args(["demo", "--tools", concat!(env!("CARGO_MANIFEST_DIR"), "/../..")]).output().expect("runs");
    let (text, talk) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{talk}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    for line in ["9 items for $2.60", "the lutenist", "$0.666666"] {
        assert!(text.contains(line), "{text}");
    }
}

/// Processes whose environment or command line names a folder that only this run uses.
fn processes_of(folder: &str) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir("/proc").expect("Linux").flatten() {
        let Ok(process) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        if String::from_utf8_lossy(&environment).contains(folder) {
            found.insert(process);
        }
    }
    found
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Everything the demo starts inherits or is given a path below TMPDIR, so that is what its processes are known by.
#[test]
fn nothing_outlives_a_demo_that_is_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let mark = folder.path().display().to_string();
    let mut demo =
        demo().env("TMPDIR", folder.path()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("runs");
    // The demo, a shell and a program for anvil and for each gateway.
    wait_for("anvil and two gateways", || processes_of(&mark).len() >= 7);
    demo.kill().expect("SIGKILL");
    demo.wait().expect("ends");
    wait_for("all of them to be gone", || processes_of(&mark).is_empty());
}
