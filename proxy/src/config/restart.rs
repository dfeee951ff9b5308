//! Which changes a reload cannot take over.

use super::Config;

impl Config {
    /// The keys that differ in `new` and take effect at a restart only. Other certificate files are taken over; HTTPS
    /// itself is not switched on or off.
    pub fn restart_only(&self, new: &Config) -> Vec<&'static str> {
        let (a, b) = (&self.listen, &new.listen);
        let (runtime, store) = (&self.runtime, &self.store);
        let changes = [
            ("listen.callback", a.callback != b.callback),
            ("listen.callback_tls", a.callback_tls.is_some() != b.callback_tls.is_some()),
            ("listen.api", a.api != b.api),
            ("listen.api_tls", a.api_tls.is_some() != b.api_tls.is_some()),
            ("listen.admin", a.admin != b.admin),
            ("listen.admin_tls", a.admin_tls.is_some() != b.admin_tls.is_some()),
            ("listen.max_connections", a.max_connections != b.max_connections),
            (
                "listen.max_connections_per_peer",
                a.max_connections_per_peer != b.max_connections_per_peer,
            ),
            ("runtime.threads", runtime.threads != new.runtime.threads),
            ("runtime.grace_s", runtime.grace != new.runtime.grace),
            ("runtime.upgrade_sock", runtime.upgrade_sock != new.runtime.upgrade_sock),
            ("store.url", store.dir != new.store.dir),
            ("store.key_file", store.key_file != new.store.key_file),
        ];
        changes.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key).collect()
    }
}
