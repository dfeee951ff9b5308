use super::*;
use crate::upgrade::{Takeover, begin};
use std::os::unix::fs::PermissionsExt;
use wxedge_tests::folder::Folder;

fn sockets() -> Vec<(&'static str, OwnedFd)> {
    vec![("callback", std::net::TcpListener::bind("127.0.0.1:0").unwrap().into())]
}

async fn open(path: &Path) -> io::Result<Door> {
    Door::open(path, sockets()).await
}

/// What a new process hears that asks for the sockets.
async fn ask(path: &Path) -> Result<Takeover, String> {
    match begin(path).await {
        Ok(Some((takeover, _))) => Ok(takeover),
        Ok(None) => Err("nobody".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[tokio::test]
async fn the_socket_is_its_owner_s_and_goes_with_the_process() {
    let folder = Folder::new();
    let path = folder.path().join("data/run/upgrade.sock");
    let door = open(&path).await.unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    drop(door);
    assert!(!path.exists());
    assert_eq!(ask(&path).await.unwrap_err(), "nobody");
}

#[tokio::test]
async fn what_a_dead_process_left_behind_is_replaced_and_nothing_else() {
    let folder = Folder::new();
    let path = folder.path().join("upgrade.sock");
    drop(UnixListener::bind(&path).unwrap());
    assert_eq!(ask(&path).await.unwrap_err(), "nobody");
    let living = open(&path).await.unwrap();

    let in_use = open(&path).await.unwrap_err();
    assert_eq!(in_use.kind(), ErrorKind::AddrInUse);
    let file = folder.write("file", "precious");
    assert_eq!(open(&file).await.unwrap_err().kind(), ErrorKind::AddrInUse);
    assert_eq!(std::fs::read(&file).unwrap(), b"precious");

    // The file of another process, in the place of this one's, stays.
    std::fs::remove_file(&path).unwrap();
    let _other = open(&path).await.unwrap();
    drop(living);
    assert!(path.exists());
}

#[tokio::test]
async fn one_process_takes_over_at_a_time_and_one_that_ends_does_not_matter() {
    let folder = Folder::new();
    let path = folder.path().join("upgrade.sock");
    let door = open(&path).await.unwrap();
    let others = async {
        let first = ask(&path).await.unwrap();
        assert_eq!(ask(&path).await.unwrap_err(), "another process is taking over just now");
        drop(first);
        // Whether its end is noticed already is a matter of time.
        let second = loop {
            tokio::task::yield_now().await;
            if let Ok(second) = ask(&path).await {
                break second;
            }
        };
        second.finish().await.unwrap();
    };
    let ((), ()) = tokio::join!(others, async {
        let successor = door.successor().await;
        drop(door);
        successor.tell().await;
    });
    assert!(!path.exists(), "it is free for the new process");
}

#[tokio::test]
async fn another_version_is_refused_in_words() {
    let folder = Folder::new();
    let path = folder.path().join("upgrade.sock");
    let door = open(&path).await.unwrap();
    let newer = async {
        let channel = Channel::new(UnixStream::connect(&path).await.unwrap());
        channel.send(&Message::Hello { version: VERSION + 1 }, &[]).await.unwrap();
        channel.receive(limits::UPGRADE_TALK).await.unwrap()
    };
    let (message, sockets) = tokio::select! {
        answer = newer => answer,
        _ = door.successor() => panic!("it is not ready"),
    };
    assert!(matches!(message, Message::Refused { reason } if reason.contains("stop it")));
    assert!(sockets.is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_become_ready_is_told_that_it_comes_too_late() {
    let folder = Folder::new();
    let path = folder.path().join("upgrade.sock");
    let door = open(&path).await.unwrap();
    let slow = async {
        let slow = ask(&path).await.unwrap();
        tokio::time::sleep(limits::UPGRADE_START * 2).await;
        slow.finish().await.unwrap_err().to_string()
    };
    let refused = tokio::select! {
        refused = slow => refused,
        _ = door.successor() => panic!("it came too late"),
    };
    assert!(refused.contains("goes on"), "{refused}");
}
