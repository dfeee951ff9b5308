//! The map against `BTreeMap`.

use super::Pages;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::collections::BTreeMap;

#[test]
fn it_is_a_sorted_map() {
    for seed in 0..50 {
        let mut random = StdRng::seed_from_u64(seed);
        let (mut pages, mut map) = (Pages::default(), BTreeMap::new());
        let keys = random.random_range(1..3_000_u32);
        for step in 0..3_000_u32 {
            let key = if seed % 2 == 0 { random.random_range(0..keys) } else { step };
            if random.random_ratio(2, 3) {
                pages.insert(key, step);
                map.insert(key, step);
            } else {
                let key = if seed % 2 == 0 { key } else { random.random_range(0..=step) };
                assert_eq!(pages.remove(key), map.remove(&key), "seed {seed}");
            }
            let key = random.random_range(0..=keys);
            assert_eq!(pages.get(key), map.get(&key), "seed {seed}");
            assert_eq!(pages.get_mut(key), map.get_mut(&key), "seed {seed}");
            let from = map.range(key..).next().map(|(key, value)| (*key, *value));
            assert_eq!(pages.from(key).copied(), from, "seed {seed}");
            let first = map.first_key_value().map(|(key, value)| (*key, *value));
            assert_eq!(pages.first().copied(), first, "seed {seed}");
            assert_eq!(pages.len(), map.len(), "seed {seed}");
        }
    }
}

#[test]
fn it_is_small_again_when_most_is_gone() {
    let mut pages = Pages::default();
    (0..100_000_u64).for_each(|key| pages.insert(key, ()));
    let full = pages.heap_bytes();
    assert!(full < 100_000 * 10, "{full} bytes");
    (0..100_000).filter(|key| key % 50 != 0).for_each(|key| assert!(pages.remove(key).is_some()));
    let left = pages.heap_bytes();
    assert!(left < full / 5, "{left} bytes of {full}");
    for key in 0..100_000 {
        pages.remove(key);
    }
    assert_eq!(pages.heap_bytes(), 0);
}

impl<K, V> Pages<K, V> {
    /// The memory it takes: the pages, and nodes of the tree that are filled to half.
    pub(in super::super) fn heap_bytes(&self) -> usize {
        let node = size_of::<K>() + size_of::<Vec<(K, V)>>() + 2;
        let page = |page: &Vec<(K, V)>| 2 * node + page.capacity() * size_of::<(K, V)>();
        self.pages.values().map(page).sum()
    }
}
