//! `wxedge run --upgrade`: a new process takes over from the running one, and no connection is refused meanwhile.
//!
//! | the new process | | the running process |
//! |---|---|---|
//! | has read its configuration and connects to `runtime.upgrade_sock`: `Hello` | → | looks at who that is |
//! | uses the sockets it needs, closes the others, starts | ← | `Sockets`, and the sockets themselves |
//! | is up, its connections wait in the kernel: `Ready` | → | accepts nothing more, drains |
//! | accepts | ← | `Draining` |
//!
//! Until `Ready` the new process has not served anything: however it ends, the running one goes on as if
//! nothing had been. Both hold the same sockets all the time, so whoever connects is accepted by one of them.
//! Nothing secret is said, each message has its time and its size, and both sides let in their own user and root only.

mod channel;
mod door;
mod inherited;
mod takeover;

pub use channel::TalkError;
pub use door::{Door, Successor};
pub use inherited::Inherited;
pub use takeover::{Takeover, begin};
