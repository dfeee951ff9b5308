//! Power cuts: what was acknowledged before one is on disk after it.
//!
//! The store is on an ext4 whose image is a file on an XFS. While users write and the app is well and ill by turns, the
//! image is cloned (`cp --reflink=always`): the clone is, at one instant, what a disk holds whose power is cut, with
//! nothing of what the system still had in memory. An edge is started on each clone before an app that is well, and
//! everything that was acknowledged before the clone has to reach that app, unless the first one had taken it already.
//!
//! It fails when an acknowledgement leaves before the disk has the message, and when a start does not find it. The
//! control is the same with a disk that skips the syncs of the write-ahead log, which is SQLite's `synchronous = NORMAL`:
//! it has to lose some.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use wxedge_tests::app::{Answer, App};
use wxedge_tests::disk::Disk;
use wxedge_tests::edge::Builder;
use wxedge_tests::flapping::Flapping;
use wxedge_tests::folder::Folder;
use wxedge_tests::journal::{Journal, Key};
use wxedge_tests::users::Users;
use wxedge_tests::{seed, spool};

use crate::PROGRAM;

const CUTS: usize = 100;
const USERS: usize = 24;
/// The mean time between an answer and a user's next message: what waits has to be looked at after each cut.
const PACE: Duration = Duration::from_millis(250);
/// The longest time between two cuts, besides what it takes to look at one.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a start with all that waits may take to deliver it.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn what_was_acknowledged_survives_a_power_cut() {
    let (cuts, owed, lost) = cut_again_and_again(None);
    println!("cuts {cuts}, acknowledged and waiting then {owed}, lost {lost}");
    assert_eq!((cuts, lost), (CUTS, 0));
    assert!(owed >= 10 * cuts, "nothing was proven");
}

#[test]
fn a_disk_that_skips_syncs_loses_some() {
    let disk = Disk::new();
    let (cuts, owed, lost) = cut_again_and_again(Some(&disk));
    println!("control: cuts {cuts}, acknowledged and waiting then {owed}, lost {lost}");
    assert!(disk.hits() > 0, "it asked the disk");
    assert!(lost > 0, "the proof does not notice a loss");
}

/// Runs the edge, on `disk` with one that skips syncs once the edge has started, and cuts the power; until something is
/// lost, or often enough. Says how often, how many messages the edge answered for at those moments, all together, and how
/// many of them were lost.
fn cut_again_and_again(disk: Option<&Disk>) -> (usize, usize, usize) {
    let seed = seed::seed();
    println!("WXEDGE_SEED={seed}");
    let journal = Arc::new(Journal::new(seed, USERS));
    let power = Power::on();
    let mut app = Flapping::start(&journal);
    let builder = app.edge(PROGRAM).store(&power.store());
    let builder = disk.map_or(builder.clone(), |disk| disk.under(builder));
    let edge = builder.start();
    if let Some(disk) = disk {
        disk.skip_syncs_of_the_log();
    }
    let users = Users::start(&edge.wechat(), &journal, 0..USERS, PACE);

    let mut source = seed::source(seed, u64::MAX - 1);
    let (mut cuts, mut owed, mut lost) = (0, 0, 0);
    while cuts < CUTS && lost == 0 {
        std::thread::sleep(seed::up_to(&mut source, PAUSE)); // any moment
        let before = journal.owed();
        power.cut();
        // What was taken meanwhile may have gone from the store before the cut.
        let waiting: HashSet<Key> = before.intersection(&journal.owed()).copied().collect();
        cuts += 1;
        owed += waiting.len();
        let begun = Instant::now();
        let delivered = power.after_cut(|store| {
            // One that does not start or goes on for ever has lost everything.
            catch_unwind(AssertUnwindSafe(|| delivered_from(store, &journal)))
        });
        println!("cut {cuts}: {} waiting, looked at in {:?}", waiting.len(), begun.elapsed());
        lost += delivered.map_or(waiting.len().max(1), |got| waiting.difference(&got).count());
    }
    users.stop();
    app.recover();
    spool::await_empty(&edge, None, PATIENCE);
    drop(edge);
    let report = journal.report();
    println!("{report}");
    report.assert_kept();
    (cuts, owed, lost)
}

/// What an app gets that is well, from an edge on this store.
fn delivered_from(store: &Path, journal: &Arc<Journal>) -> HashSet<Key> {
    let delivered = Arc::new(Mutex::new(HashSet::new()));
    let app = App::start();
    app.choose({
        let (journal, delivered) = (journal.clone(), delivered.clone());
        move |request| match journal.called(request) {
            Some(call) => {
                delivered.lock().unwrap().insert(call.key);
                Answer::taken()
            }
            None => Answer::status(500),
        }
    });
    let mut edge = Builder::new(PROGRAM).app(&app).store(store).start();
    spool::await_empty(&edge, None, PATIENCE);
    edge.kill();
    drop(app);
    std::mem::take(&mut *delivered.lock().unwrap())
}

/// A disk whose power can be cut. All mounts are this thread's and its children's alone: they go with the process, however
/// it ends.
struct Power {
    folder: Folder,
}

impl Power {
    fn on() -> Power {
        unshare(CloneFlags::CLONE_NEWNS).expect("root: this mounts file systems");
        run("mount", &["--make-rprivate", "/"]);
        let power = Power { folder: Folder::new() };
        for folder in ["outer", "inner", "after"] {
            std::fs::create_dir(power.path(folder)).unwrap();
        }
        power.image("outer.img", 4 << 30, "mkfs.xfs", &["-q", "-m", "reflink=1"]);
        power.mount("outer.img", "outer");
        let now = ["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"];
        power.image("outer/inner.img", 256 << 20, "mkfs.ext4", &now);
        power.mount("outer/inner.img", "inner");
        power
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where the edge has its store.
    fn store(&self) -> PathBuf {
        self.path("inner/store")
    }

    /// What a cut leaves, at this instant.
    fn cut(&self) {
        let (from, to) = (self.path("outer/inner.img"), self.path("outer/after.img"));
        run("cp", &["--reflink=always", &text(&from), &text(&to)]);
    }

    /// Looks at the store that the last cut has left.
    fn after_cut<T>(&self, look: impl FnOnce(&Path) -> T) -> T {
        self.mount("outer/after.img", "after");
        let seen = look(&self.path("after/store"));
        run("umount", &[&text(&self.path("after"))]);
        std::fs::remove_file(self.path("outer/after.img")).unwrap();
        seen
    }

    fn image(&self, name: &str, bytes: u64, mkfs: &str, arguments: &[&str]) {
        let path = self.path(name);
        std::fs::File::create(&path).unwrap().set_len(bytes).unwrap();
        run(mkfs, &[arguments, &[&text(&path)]].concat());
    }

    fn mount(&self, image: &str, at: &str) {
        run("mount", &["-o", "loop", &text(&self.path(image)), &text(&self.path(at))]);
    }
}

impl Drop for Power {
    fn drop(&mut self) {
        for at in ["after", "inner", "outer"] {
            // One that is not mounted, or still in use after a failure, goes with the process.
            let _unmounted = Command::new("umount").arg(self.path(at)).output();
        }
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Runs a program of the system's, wherever that has it.
#[track_caller]
fn run(program: &str, arguments: &[&str]) {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let ended =
        Command::new("env").arg(format!("PATH={path}")).arg(program).args(arguments).output();
    let ended = ended.unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{program} {arguments:?}: {said}");
}
