//! Group commit as the payee does it, and the same with a wait before each batch.

use measuring::{folder, length, say};
use serde_json::json;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

const RECORD: usize = 200;
const SPACE: usize = 32 << 20;
const BATCH_MAX: usize = 1_024;

/// Takes whatever is waiting, after a wait if there is one; writes and syncs it; says how many that were.
fn write_all(file: &File, wait: Option<Duration>, waiting: &Receiver<()>, answers: &SyncSender<usize>) {
    let content = vec![0xa5_u8; BATCH_MAX * RECORD];
    let mut place = 0;
    while waiting.recv().is_ok() {
        if let Some(wait) = wait {
            std::thread::sleep(wait);
        }
        let count = 1 + waiting.try_iter().take(BATCH_MAX - 1).count();
        let bytes = count * RECORD;
        if place + bytes > SPACE {
            place = 0;
        }
        file.write_all_at(&content[..bytes], place as u64).expect("written");
        file.sync_data().expect("synced");
        place += bytes;
        if answers.send(count).is_err() {
            break;
        }
    }
}

/// Records a second made durable, if so many callers each wait for their answer before they ask again.
fn durable(file: &File, callers: usize, wait: Option<Duration>) -> f64 {
    let (queue, waiting) = sync_channel(callers);
    let (answers, answered) = sync_channel(callers);
    std::thread::scope(|scope| {
        scope.spawn(move || write_all(file, wait, &waiting, &answers));
        let ask = |count: usize| (0..count).for_each(|_| queue.send(()).expect("the writer waits"));
        let begun = Instant::now();
        let mut done = 0;
        ask(callers);
        while begun.elapsed() < length() {
            let count = answered.recv().expect("the writer answers");
            done += count;
            ask(count);
        }
        let per_second = done as f64 / begun.elapsed().as_secs_f64();
        drop(queue);
        drop(answered);
        per_second
    })
}

pub fn timer() {
    let path = folder().join("timer");
    let file = OpenOptions::new().create(true).truncate(true).write(true).open(&path).expect("a folder to write in");
    file.write_all_at(&vec![0; SPACE], 0).expect("space on the disk");
    file.sync_all().expect("a disk that syncs");
    for callers in [1, 16, 256] {
        for (name, wait) in [("none", None), ("1ms", Some(Duration::from_millis(1)))] {
            let per_second = durable(&file, callers, wait);
            say("not-helping.timer", per_second, "/s", &json!({ "callers": callers, "wait": name }));
        }
    }
    std::fs::remove_file(path).expect("removed");
}
