//! What the tests of this module start from.

use crate::alert::{Alert, Cause, Example, Kind, State};

/// A firing alert of the account `main`.
pub(super) fn alert(kind: Kind) -> Alert {
    Alert {
        kind,
        severity: kind.severity(),
        state: State::Firing,
        account: Some("main".to_owned()),
        appid: Some("wx0000000000000001".to_owned()),
        nickname: Some("店铺".to_owned()),
        time: 1_423_051_989,
        last: 1_423_052_289,
        resolved: None,
        cause: Cause::Proxy { reason: "connect".to_owned() },
        count: 3,
        window_s: 300,
        example: Some(Example {
            ip: Some([203, 205, 140, 29].into()),
            msg_type: Some("event".to_owned()),
            response: Some("Error 500:".to_owned()),
            response_length: Some(10),
        }),
    }
}
