//! Encryption at rest.

use super::spool::{add, body, content, entries, failed, new};
use super::{dir, open};
use crate::store::salvage::page::PAGE;
use crate::store::spool::{EntryState, Filter, NewEntry, Unreadable};
use crate::store::{KeyError, Options, Store, StoreError, StoreKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use wxedge_tests::folder::Folder;

fn key(byte: u8) -> StoreKey {
    StoreKey::parse(&[byte; 32]).unwrap()
}

fn open_with(folder: &Folder, byte: u8) -> Store {
    Store::open(&dir(folder), Options { key: Some(key(byte)), ..Options::default() })
        .expect("a store")
}

#[tokio::test]
async fn what_is_sealed_stands_in_no_file() {
    let folder = Folder::new();
    let store = open_with(&folder, 1);
    let id = store.spool(new(), content("Canary"), Some(failed("Canary"))).await.unwrap();
    store.spool_failed(id, 2, 0, 5, failed("Canary")).await.unwrap();
    assert_eq!(store.spool_sending(id, Some(content("Canary 2"))).await, Ok(true));
    for file in std::fs::read_dir(dir(&folder)).unwrap() {
        let file = std::fs::read(file.unwrap().path()).unwrap();
        for text in ["Canary", "oUser", "com.weixin", "busy"] {
            assert!(!file.windows(text.len()).any(|window| window == text.as_bytes()), "{text}");
        }
    }
    drop(store);
    let store = open_with(&folder, 1);
    assert_eq!(body(&store, id).as_deref(), Ok("Canary 2"));
    let shown = store.spool_entry(id).unwrap().expect("an entry");
    assert!(shown.failed == Some(failed("Canary")));
}

#[tokio::test]
async fn without_its_key_an_entry_stays_and_says_so() {
    let folder = Folder::new();
    let store = open(&folder);
    let clear = add(&store, "in clear").await;
    drop(store);
    let store = open_with(&folder, 1);
    let sealed = add(&store, "sealed").await;
    assert_eq!(body(&store, clear).as_deref(), Ok("in clear"), "from before there was a key");
    drop(store);
    let store = open(&folder);
    assert_eq!(body(&store, sealed), Err(Unreadable::NoKey));
    drop(store);
    let store = open_with(&folder, 2);
    assert_eq!(body(&store, sealed), Err(Unreadable::OtherKey));
    let page = store.spool_page(&Filter { limit: 10, ..Filter::default() }).unwrap();
    let [first, second] = page.try_into().expect("two entries");
    assert!(first.content.is_ok() && second.content == Err(Unreadable::OtherKey));
    let said = Unreadable::OtherKey.to_string();
    assert!(said.contains("store.key_file"), "{said}");
    drop(store);
    // The key is back.
    let store = open_with(&folder, 1);
    assert_eq!(body(&store, sealed).as_deref(), Ok("sealed"));
    assert_eq!(entries(&store).len(), 2);
}

#[tokio::test]
async fn damage_to_what_is_sealed_is_damage() {
    let folder = Folder::new();
    let store = open_with(&folder, 1);
    let [id, other] = [add(&store, "one").await, add(&store, "two").await];
    drop(store);
    let database = rusqlite::Connection::open(dir(&folder).join("wxedge.db")).unwrap();
    let sql = "UPDATE content SET content = zeroblob(60) WHERE id = ?1";
    database.execute(sql, [i64::try_from(id).unwrap()]).unwrap();
    drop(database);
    let store = open_with(&folder, 1);
    assert_eq!(body(&store, id), Err(Unreadable::Damaged));
    assert_eq!(body(&store, other).as_deref(), Ok("two"));
}

/// Its content says whose it is, to who has the key.
#[tokio::test]
async fn what_is_sealed_is_restored_when_its_entry_is_lost() {
    let folder = Folder::new();
    let store = open_with(&folder, 1);
    let entry = NewEntry { user: store.user_hashes("wx1", "oUser")[0], ..new() };
    let id = store.spool(entry.clone(), content("sealed"), None).await.unwrap();
    drop(store);
    let path = dir(&folder).join("wxedge.db");
    let root = rusqlite::Connection::open(&path).unwrap();
    let root =
        root.query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'entry'", (), |row| {
            row.get::<_, u32>(0)
        });
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[(root.unwrap() as usize - 1) * PAGE..][..PAGE].fill(0xff);
    std::fs::write(&path, bytes).unwrap();
    let appids = vec!["wx0".to_owned(), "wx1".to_owned()];
    let options = Options { key: Some(key(1)), appids, ..Options::default() };
    let store = Store::open(&dir(&folder), options.clone()).unwrap();
    assert_eq!(store.spooled(|_| ()), Err(StoreError::Damaged));
    drop(store);
    let store = Store::open(&dir(&folder), options).unwrap();
    assert_eq!(store.salvaged().map(|salvage| salvage.saved), Some(1));
    assert_eq!(body(&store, id).as_deref(), Ok("sealed"));
    let [anew] = entries(&store).try_into().expect("one entry");
    assert_eq!((&*anew.appid, anew.user, anew.state), ("wx1", entry.user, EntryState::Pending));
    assert_eq!(anew.bytes, content("sealed").bytes());
}

#[tokio::test]
async fn users_are_hashed_with_the_key() {
    let folder = Folder::new();
    let store = open(&folder);
    let plain = store.user_hashes("wx1", "oUser")[0];
    assert_eq!(plain, store.user_hashes("wx1", "oUser")[0]);
    assert_ne!(plain, store.user_hashes("wx2", "oUser")[0]);
    assert_ne!(plain, store.user_hashes("wx1", "oOther")[0]);
    let entry = NewEntry { user: plain, ..new() };
    let id = store.spool(entry, content("from before there was a key"), None).await.unwrap();
    drop(store);
    let store = open_with(&folder, 1);
    let keyed = store.user_hashes("wx1", "oUser")[0];
    assert_ne!(keyed, plain);
    let sealed = NewEntry { user: keyed, ..new() };
    let sealed = store.spool(sealed, content("sealed"), None).await.unwrap();
    assert_eq!(store.spool_about("wx1", "oUser", 0), Ok(vec![id, sealed]));
    drop(store);
    assert_ne!(open_with(&folder, 2).user_hashes("wx1", "oUser")[0], keyed);
}

#[tokio::test]
async fn a_key_comes_in_three_forms() {
    let folder = Folder::new();
    let bytes: Vec<u8> = (100..132).collect();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    let text = STANDARD.encode(&bytes);
    let store = Store::open(
        &dir(&folder),
        Options { key: StoreKey::parse(&bytes).ok(), ..Options::default() },
    )
    .unwrap();
    let id = add(&store, "sealed").await;
    drop(store);
    for form in [hex.clone(), hex.to_lowercase() + "\n", text.clone(), format!(" {text}\r\n")] {
        let key = StoreKey::parse(form.as_bytes()).expect("a key");
        assert_eq!(format!("{key:?}"), "[redacted]");
        let store =
            Store::open(&dir(&folder), Options { key: Some(key), ..Options::default() }).unwrap();
        assert_eq!(body(&store, id).as_deref(), Ok("sealed"));
    }
    for none in
        [&b""[..], &hex.as_bytes()[1..], "é".repeat(32).as_bytes(), &[b'='; 44], &bytes[1..]]
    {
        assert_eq!(StoreKey::parse(none).err(), Some(KeyError));
    }
}
