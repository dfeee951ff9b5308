//! A sorted map that is small in memory.
//!
//! `BTreeMap` fills its nodes, of 11 entries, to half when keys come in ascending order, as ids do. Here they fill up.

use std::collections::BTreeMap;

/// Entries a page holds at most.
const PAGE: usize = 64;

/// Keys and values, sorted by key.
pub(super) struct Pages<K, V> {
    /// The entries from a key on, up to the next page's key: sorted, never none.
    pages: BTreeMap<K, Vec<(K, V)>>,
    len: usize,
}

impl<K, V> Default for Pages<K, V> {
    fn default() -> Pages<K, V> {
        Pages { pages: BTreeMap::new(), len: 0 }
    }
}

impl<K: Ord + Copy, V> Pages<K, V> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, key: K) -> Option<&V> {
        let (_, page) = self.pages.range(..=key).next_back()?;
        let at = page.binary_search_by_key(&key, |entry| entry.0).ok()?;
        page.get(at).map(|entry| &entry.1)
    }

    pub(super) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        let (_, page) = self.pages.range_mut(..=key).next_back()?;
        let at = page.binary_search_by_key(&key, |entry| entry.0).ok()?;
        page.get_mut(at).map(|entry| &mut entry.1)
    }

    /// The entry with the smallest key that is not below `key`.
    pub(super) fn from(&self, key: K) -> Option<&(K, V)> {
        let within = self
            .pages
            .range(..=key)
            .next_back()
            .and_then(|(_, page)| page.get(page.partition_point(|entry| entry.0 < key)));
        within.or_else(|| self.pages.range(key..).next()?.1.first())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &(K, V)> {
        self.pages.values().flatten()
    }

    pub(super) fn first(&self) -> Option<&(K, V)> {
        self.pages.first_key_value()?.1.first()
    }

    /// Puts an entry in, instead of the one with the same key if there is one.
    pub(super) fn insert(&mut self, key: K, value: V) {
        // Most keys are higher than all before: for them the page need not be looked for.
        if let Some(mut last) = self.pages.last_entry()
            && last.get().last().is_some_and(|last| last.0 < key)
        {
            let page = last.get_mut();
            if page.len() == PAGE {
                return self.begin(key, value);
            }
            page.push((key, value));
            self.len += 1;
            return;
        }
        let Some((_, page)) = self.pages.range_mut(..=key).next_back() else {
            return self.begin(key, value);
        };
        let at = match page.binary_search_by_key(&key, |entry| entry.0) {
            Ok(at) => {
                page[at].1 = value;
                return;
            }
            Err(at) => at,
        };
        if page.len() < PAGE {
            page.insert(at, (key, value));
            self.len += 1;
        } else if at == PAGE {
            self.begin(key, value);
        } else {
            let half = page.split_off(PAGE / 2);
            self.pages.insert(half[0].0, half);
            self.insert(key, value);
        }
    }

    pub(super) fn remove(&mut self, key: K) -> Option<V> {
        let (first, page) = self.pages.range_mut(..=key).next_back()?;
        let at = page.binary_search_by_key(&key, |entry| entry.0).ok()?;
        let (_, value) = page.remove(at);
        self.len -= 1;
        if page.is_empty() {
            let first = *first;
            self.pages.remove(&first);
        } else if page.len() <= page.capacity() / 4 {
            page.shrink_to(page.len() * 2);
        }
        Some(value)
    }

    /// Begins a page.
    fn begin(&mut self, key: K, value: V) {
        self.pages.insert(key, vec![(key, value)]);
        self.len += 1;
    }
}

#[cfg(test)]
mod tests;
