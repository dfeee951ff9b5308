//! A disk that fails as told: a library between the edge and the system (`LD_PRELOAD`), led by a file that both map.
//!
//! Only the database of the store is concerned. What the disk really does is the file system's: nothing is lost by it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::errno::Errno;

use crate::edge::Builder;
use crate::folder::Folder;

/// The disk of one store. It does as it is asked until told otherwise.
#[derive(Debug)]
pub struct Disk {
    folder: Folder,
    control: File,
}

/// The bytes of a page, of a `struct page` in disk.c, and how many of those there are.
const PAGE: usize = 4096;
const KEPT: usize = 8 + PAGE;
const PAGES: usize = 8192;

/// The fields of `struct control` in disk.c.
#[derive(Debug, Clone, Copy)]
enum Field {
    SyncErrno,
    SyncDelayMs,
    LogUnsynced,
    WriteErrno,
    Losing,
    Hits,
}

impl Disk {
    /// Makes the library and its control file.
    ///
    /// # Panics
    /// When there is no C compiler.
    #[must_use]
    pub fn new() -> Disk {
        let folder = Folder::new();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/disk.c");
        let library = folder.path().join("disk.so");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]).arg(&library);
        let made = compiler.arg(source).arg("-ldl").status().expect("a C compiler");
        assert!(made.success(), "{source} does not compile");
        let path = folder.write("control", [0; 4 * (Field::Hits as usize + 1)]);
        let control = File::options().read(true).write(true).open(path).expect("a control file");
        let pages = File::create(folder.path().join("pages")).expect("a file");
        pages.set_len((PAGES * KEPT) as u64).expect("a file");
        Disk { folder, control }
    }

    /// An edge whose store is on this disk.
    #[must_use]
    pub fn under(&self, builder: Builder) -> Builder {
        let path = |name: &str| -> PathBuf { self.folder.path().join(name) };
        builder
            .env("LD_PRELOAD", &path("disk.so").display().to_string())
            .env("WXEDGE_TEST_DISK", &path("control").display().to_string())
            .env("WXEDGE_TEST_DISK_PAGES", &path("pages").display().to_string())
    }

    /// Syncs fail.
    pub fn fail_syncs(&self, error: Errno) {
        self.set(Field::SyncErrno, error as i32);
    }

    /// Syncs take so much longer.
    pub fn delay_syncs(&self, delay: Duration) {
        self.set(Field::SyncDelayMs, delay.as_millis() as i32);
    }

    /// Syncs of the write-ahead log say that they are done, and do nothing: SQLite's `synchronous = NORMAL`.
    pub fn skip_syncs_of_the_log(&self) {
        self.set(Field::LogUnsynced, 1);
    }

    /// Writes fail: `EROFS` is a file system that has become read-only.
    pub fn fail_writes(&self, error: Errno) {
        self.set(Field::WriteErrno, error as i32);
    }

    /// What is written to the database itself, and not to its write-ahead log, is only in the system's memory from now on.
    /// The next sync of it says so, once, as Linux does.
    pub fn lose_the_database(&self) {
        self.set(Field::Losing, 1);
    }

    /// The same of the write-ahead log.
    pub fn lose_the_log(&self) {
        self.set(Field::Losing, 2);
    }

    /// The system's memory is gone: the files of the store in this folder have what the disk has.
    ///
    /// # Panics
    /// When they are not there.
    pub fn cut_power(&self, store: &Path) {
        let open = |name| File::options().write(true).open(store.join(name)).expect("a file");
        let files = ["wxedge.db", "wxedge.db-wal"].map(open);
        let pages = std::fs::read(self.folder.path().join("pages")).expect("the pages");
        for page in pages.chunks_exact(KEPT) {
            let (key, bytes) = page.split_first_chunk().expect("a page");
            if let Some(key) = u64::from_ne_bytes(*key).checked_sub(1) {
                let file = &files[(key % 2) as usize];
                file.write_all_at(bytes, key / 2 * PAGE as u64).expect("a file");
            }
        }
    }

    /// It does as it is asked again.
    pub fn heal(&self) {
        use Field::{LogUnsynced, Losing, SyncDelayMs, SyncErrno, WriteErrno};
        for field in [SyncErrno, SyncDelayMs, LogUnsynced, WriteErrno, Losing] {
            self.set(field, 0);
        }
    }

    /// How often it did not do as it was asked: a disk that nobody asked proves nothing.
    ///
    /// # Panics
    /// When the control file is gone.
    #[must_use]
    pub fn hits(&self) -> i32 {
        let mut bytes = [0; 4];
        self.control.read_exact_at(&mut bytes, Field::Hits as u64 * 4).expect("a control file");
        i32::from_ne_bytes(bytes)
    }

    fn set(&self, field: Field, value: i32) {
        self.control.write_all_at(&value.to_ne_bytes(), field as u64 * 4).expect("a control file");
    }
}

impl Default for Disk {
    fn default() -> Self {
        Disk::new()
    }
}
