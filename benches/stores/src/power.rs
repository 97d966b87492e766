//! A file system in memory that forgets, at a power cut, whatever nobody synced.

use crate::faults::{BATCH, CHANNELS, open_checked, program, random};
use crate::ledger::{Engine, inspect};
use fuser::{
    BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry,
    ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const PAGE: u64 = 4_096;
/// A disk writes a sector wholly or not at all.
const SECTOR: usize = 512;
const ROOT: u64 = 1;

type Page = Arc<[u8; PAGE as usize]>;

#[derive(Clone, Default)]
struct Content {
    length: u64,
    pages: HashMap<u64, Page>,
}

#[derive(Clone, Default)]
struct Directory {
    entries: BTreeMap<String, u64>,
    synced: BTreeMap<String, u64>,
}

enum Node {
    File { content: Content, synced: Content, dirty: BTreeSet<u64> },
    Directory(Directory),
}

#[derive(Default)]
struct State {
    nodes: HashMap<u64, Node>,
    next: u64,
    /// The power is off: nothing works any more.
    off: bool,
    /// The control: a disk that says "synced" and syncs nothing.
    lying: bool,
    /// Syncing a file makes names durable as well, as ext4's journal does; otherwise, as POSIX has it, only syncing
    /// their folder does.
    names_follow: bool,
    /// The next sync of a file fails, and what it should have written counts as clean from then on, as in Linux.
    fail_next: bool,
}

#[derive(Clone)]
pub struct ForgetfulDisk(Arc<Mutex<State>>);

impl State {
    fn directory(&mut self, node: u64) -> Result<&mut Directory, Errno> {
        if self.off {
            return Err(Errno::EIO);
        }
        match self.nodes.get_mut(&node) {
            Some(Node::Directory(directory)) => Ok(directory),
            _ => Err(Errno::ENOENT),
        }
    }

    fn add(&mut self, parent: INodeNo, name: &OsStr, node: Node) -> Result<FileAttr, Errno> {
        let number = self.next;
        let name = name.to_string_lossy().into_owned();
        self.directory(parent.0)?.entries.insert(name, number);
        self.nodes.insert(number, node);
        self.next += 1;
        self.attributes(number)
    }

    fn attributes(&self, node: u64) -> Result<FileAttr, Errno> {
        if self.off {
            return Err(Errno::EIO);
        }
        let (kind, size) = match self.nodes.get(&node).ok_or(Errno::ENOENT)? {
            Node::File { content, .. } => (FileType::RegularFile, content.length),
            Node::Directory(_) => (FileType::Directory, 0),
        };
        let time = SystemTime::now();
        Ok(FileAttr {
            ino: INodeNo(node),
            size,
            blocks: size.div_ceil(512),
            atime: time,
            mtime: time,
            ctime: time,
            crtime: UNIX_EPOCH,
            kind,
            perm: 0o755,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: PAGE as u32,
            flags: 0,
        })
    }

    fn resize(&mut self, node: u64, length: u64) {
        if let Some(Node::File { content, dirty, .. }) = self.nodes.get_mut(&node) {
            if length < content.length {
                content.pages.retain(|page, _| page * PAGE < length);
                if let Some(page) = content.pages.get_mut(&(length / PAGE)) {
                    Arc::make_mut(page)[(length % PAGE) as usize..].fill(0);
                    dirty.insert(length / PAGE);
                }
            }
            content.length = length;
        }
    }

    fn write(&mut self, node: u64, offset: u64, data: &[u8]) -> Result<(), Errno> {
        if self.off {
            return Err(Errno::EIO);
        }
        let Some(Node::File { content, dirty, .. }) = self.nodes.get_mut(&node) else { return Err(Errno::ENOENT) };
        let mut done = 0;
        while done < data.len() {
            let at = offset + done as u64;
            let within = (at % PAGE) as usize;
            let count = (PAGE as usize - within).min(data.len() - done);
            let page = content.pages.entry(at / PAGE).or_insert_with(|| Arc::new([0; PAGE as usize]));
            Arc::make_mut(page)[within..within + count].copy_from_slice(&data[done..done + count]);
            dirty.insert(at / PAGE);
            done += count;
        }
        content.length = content.length.max(offset + data.len() as u64);
        Ok(())
    }

    fn read(&self, node: u64, offset: u64, size: usize) -> Result<Vec<u8>, Errno> {
        if self.off {
            return Err(Errno::EIO);
        }
        let Some(Node::File { content, .. }) = self.nodes.get(&node) else { return Err(Errno::ENOENT) };
        let end = content.length.min(offset + size as u64);
        let mut data = vec![0; end.saturating_sub(offset) as usize];
        let mut done = 0;
        while done < data.len() {
            let at = offset + done as u64;
            let within = (at % PAGE) as usize;
            let count = (PAGE as usize - within).min(data.len() - done);
            if let Some(page) = content.pages.get(&(at / PAGE)) {
                data[done..done + count].copy_from_slice(&page[within..within + count]);
            }
            done += count;
        }
        Ok(data)
    }

    fn sync(&mut self, node: u64) -> Result<(), Errno> {
        if self.off {
            return Err(Errno::EIO);
        }
        if self.lying {
            return Ok(());
        }
        if self.names_follow {
            for node in self.nodes.values_mut() {
                if let Node::Directory(directory) = node {
                    directory.synced = directory.entries.clone();
                }
            }
        }
        match self.nodes.get_mut(&node) {
            Some(Node::File { dirty, .. }) if self.fail_next => {
                self.fail_next = false;
                dirty.clear();
                return Err(Errno::EIO);
            }
            Some(Node::File { content, synced, dirty }) => {
                if content.length < synced.length {
                    synced.pages.retain(|page, _| page * PAGE < content.length);
                }
                for page in std::mem::take(dirty) {
                    match content.pages.get(&page) {
                        Some(data) => synced.pages.insert(page, data.clone()),
                        None => synced.pages.remove(&page),
                    };
                }
                synced.length = content.length;
            }
            Some(Node::Directory(directory)) => directory.synced = directory.entries.clone(),
            None => return Err(Errno::ENOENT),
        }
        Ok(())
    }

    /// What a file holds after the cut: what was synced, and any of the sectors that were not.
    fn after_cut(&self, node: u64, seed: &mut u64, kept_percent: u64) -> Content {
        let Some(Node::File { content, synced, dirty }) = self.nodes.get(&node) else { return Content::default() };
        let mut draw = |below| {
            *seed += 1;
            random(*seed, below)
        };
        let mut left = synced.clone();
        if draw(100) < kept_percent {
            left.length = content.length;
        }
        for number in dirty {
            let Some(new) = content.pages.get(number) else { continue };
            let mut page = left.pages.get(number).map_or([0; PAGE as usize], |page| **page);
            for (old, new) in page.chunks_mut(SECTOR).zip(new.chunks(SECTOR)) {
                if draw(100) < kept_percent {
                    old.copy_from_slice(new);
                }
            }
            left.pages.insert(*number, Arc::new(page));
        }
        left.pages.retain(|page, _| page * PAGE < left.length);
        left
    }

    /// Writes what a cut leaves of a directory into a plain folder.
    fn leave(&self, node: u64, folder: &Path, seed: &mut u64, kept_percent: u64) {
        std::fs::create_dir_all(folder).expect("a folder");
        let Some(Node::Directory(directory)) = self.nodes.get(&node) else { return };
        *seed += 1;
        let unsynced_too = random(*seed, 100) < kept_percent;
        for (name, node) in if unsynced_too { &directory.entries } else { &directory.synced } {
            let path = folder.join(name);
            match self.nodes.get(node) {
                Some(Node::Directory(_)) => self.leave(*node, &path, seed, kept_percent),
                Some(Node::File { .. }) => {
                    let left = self.after_cut(*node, seed, kept_percent);
                    let file = std::fs::File::create(path).expect("a file");
                    file.set_len(left.length).expect("long enough");
                    for (number, page) in &left.pages {
                        let count = PAGE.min(left.length - number * PAGE) as usize;
                        file.write_all_at(&page[..count], number * PAGE).expect("writes");
                    }
                }
                None => {}
            }
        }
    }
}

const NOW: Duration = Duration::ZERO;

macro_rules! answer {
    ($reply:ident, $result:expr, $value:ident => $good:expr) => {
        match $result {
            Ok($value) => $good,
            Err(error) => $reply.error(error),
        }
    };
}

impl Filesystem for ForgetfulDisk {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let mut state = self.0.lock().expect("sound");
        let found = state
            .directory(parent.0)
            .and_then(|directory| directory.entries.get(name.to_string_lossy().as_ref()).copied().ok_or(Errno::ENOENT));
        let found = found.and_then(|node| state.attributes(node));
        answer!(reply, found, attributes => reply.entry(&NOW, &attributes, Generation(0)));
    }

    fn getattr(&self, _: &Request, node: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let found = self.0.lock().expect("sound").attributes(node.0);
        answer!(reply, found, attributes => reply.attr(&NOW, &attributes));
    }

    fn setattr(
        &self,
        _: &Request,
        node: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut state = self.0.lock().expect("sound");
        let found = state.attributes(node.0);
        if let (Ok(_), Some(size)) = (&found, size) {
            state.resize(node.0, size);
        }
        let found = state.attributes(node.0);
        answer!(reply, found, attributes => reply.attr(&NOW, &attributes));
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        let made = self.0.lock().expect("sound").add(parent, name, Node::Directory(Directory::default()));
        answer!(reply, made, attributes => reply.entry(&NOW, &attributes, Generation(0)));
    }

    fn create(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, _: i32, reply: ReplyCreate) {
        let file = Node::File { content: Content::default(), synced: Content::default(), dirty: BTreeSet::new() };
        let made = self.0.lock().expect("sound").add(parent, name, file);
        let flags = FopenFlags::empty();
        answer!(reply, made, attributes => reply.created(&NOW, &attributes, Generation(0), FileHandle(0), flags));
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let mut state = self.0.lock().expect("sound");
        let gone = state
            .directory(parent.0)
            .and_then(|directory| directory.entries.remove(name.to_string_lossy().as_ref()).ok_or(Errno::ENOENT));
        answer!(reply, gone, _node => reply.ok());
    }

    fn rmdir(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.unlink(request, parent, name, reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let mut state = self.0.lock().expect("sound");
        let moved = state
            .directory(parent.0)
            .and_then(|directory| directory.entries.remove(name.to_string_lossy().as_ref()).ok_or(Errno::ENOENT));
        let moved = moved.and_then(|node| {
            state.directory(new_parent.0)?.entries.insert(new_name.to_string_lossy().into_owned(), node);
            Ok(())
        });
        answer!(reply, moved, _done => reply.ok());
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::empty());
    }

    fn read(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let data = self.0.lock().expect("sound").read(node.0, offset, size as usize);
        answer!(reply, data, data => reply.data(&data));
    }

    fn write(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let written = self.0.lock().expect("sound").write(node.0, offset, data);
        answer!(reply, written, _done => reply.written(data.len() as u32));
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, node: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let synced = self.0.lock().expect("sound").sync(node.0);
        answer!(reply, synced, _done => reply.ok());
    }

    fn fsyncdir(&self, request: &Request, node: INodeNo, handle: FileHandle, data: bool, reply: ReplyEmpty) {
        self.fsync(request, node, handle, data, reply);
    }

    fn readdir(&self, _: &Request, node: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let mut state = self.0.lock().expect("sound");
        let entries = match state.directory(node.0) {
            Ok(directory) => directory.entries.clone(),
            Err(error) => return reply.error(error),
        };
        for (at, (name, node)) in entries.iter().enumerate().skip(offset as usize) {
            let directory = matches!(state.nodes.get(node), Some(Node::Directory(_)));
            let kind = if directory { FileType::Directory } else { FileType::RegularFile };
            if reply.add(INodeNo(*node), at as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(1 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20, PAGE as u32, 255, PAGE as u32);
    }
}

/// `power FOLDER ENGINE ROUNDS ext4|posix|lying|failing`: cuts the power while a ledger is written, and opens what is
/// left.
pub fn power(folder: &Path, engine: Engine, rounds: u64, model: &str) {
    let (mount, left) = (folder.join("mount"), folder.join("left"));
    std::fs::create_dir_all(&mount).expect("a folder");
    let (lying, names_follow) = (model == "lying", matches!(model, "ext4" | "failing"));
    let state = State { next: ROOT + 1, lying, names_follow, ..State::default() };
    let disk = ForgetfulDisk(Arc::new(Mutex::new(state)));
    disk.0.lock().expect("sound").nodes.insert(ROOT, Node::Directory(Directory::default()));
    let session = fuser::spawn_mount(disk.clone(), &mount, &Config::default()).expect("mounts");
    let mut findings = BTreeMap::<String, (u64, String)>::new();
    let mut total = 0;
    for round in 0..rounds {
        let name = format!("round-{round}");
        let acknowledged = write_until_cut(&disk, &mount.join(&name), engine, round, model == "failing");
        total += acknowledged;
        let mut state = disk.0.lock().expect("sound");
        let ledger = state.directory_of(&name);
        let _ = std::fs::remove_dir_all(&left);
        // Nothing, half or all of what was not synced survives.
        let mut seed = round << 32;
        state.leave(ledger, &left, &mut seed, [0, 50, 90][(round % 3) as usize]);
        state.nodes.retain(|node, _| *node == ROOT);
        drop(state);
        let (finding, detail) = look(&left, engine, acknowledged);
        let entry = findings.entry(finding).or_default();
        entry.0 += 1;
        entry.1 = detail;
    }
    drop(session);
    println!("| {} | power cut, {model} | {rounds} | {total} batches acknowledged: {findings:?} |", engine.name());
}

impl State {
    fn directory_of(&mut self, name: &str) -> u64 {
        self.off = false;
        *self.directory(ROOT).ok().and_then(|root| root.entries.get(name)).expect("was made")
    }
}

fn write_until_cut(disk: &ForgetfulDisk, place: &Path, engine: Engine, round: u64, failing: bool) -> u64 {
    let path = place.to_str().expect("UTF-8");
    std::fs::create_dir(place).expect("made");
    let mut child = program(&["worker", path, engine.name(), "1000000", "killed"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped"));
    let mut text = String::new();
    lines.read_line(&mut text).expect("a line");
    if failing {
        std::thread::sleep(Duration::from_millis(5));
        disk.0.lock().expect("sound").fail_next = true;
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_micros(random(round + 5_000, 30_000)));
    disk.0.lock().expect("sound").off = true;
    child.kill().expect("killed");
    child.wait().expect("waits");
    lines.read_to_string(&mut text).expect("UTF-8");
    text.lines().last().and_then(|line| line.parse().ok()).unwrap_or(0)
}

fn look(left: &Path, engine: Engine, acknowledged: u64) -> (String, String) {
    match open_checked(engine, left) {
        Err(reason) => ("refused".to_owned(), reason),
        Ok((ledger, _)) => {
            let finding = format!("{:?}", inspect(ledger.as_ref(), CHANNELS, BATCH, acknowledged));
            let kind = finding.split([' ', '(']).next().unwrap_or_default().to_owned();
            (kind, format!("{finding}, {acknowledged} acknowledged"))
        }
    }
}
