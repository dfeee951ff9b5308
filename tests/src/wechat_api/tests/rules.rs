//! Source: protocol.md §5.2 to §5.8.

use super::*;

#[test]
fn who_is_unknown_gets_no_token() {
    let api = Api::start();
    let secret = canary::SECRET;
    let grant = "grant_type=client_credential";
    for (query, errcode) in [
        (format!("appid={MAIN}&secret={secret}"), 40002),
        (format!("grant_type=password&appid={MAIN}&secret={secret}"), 40002),
        (format!("{grant}&secret={secret}"), 41002),
        (format!("{grant}&appid=wx9&secret={secret}"), 40013),
        (format!("{grant}&appid={MAIN}"), 41004),
        (format!("{grant}&appid={MAIN}&secret=wrong"), 40001),
    ] {
        assert_eq!(get(&api, &format!("/cgi-bin/token?{query}"))["errcode"], errcode, "{query}");
        let fields = query::parameters(&query).into_iter();
        let body = fields.map(|(name, value)| (name, Value::from(value))).collect();
        let answer = post(&api, "/cgi-bin/stable_token", &body);
        assert_eq!(answer["errcode"], errcode, "{body}");
    }
    api.wrong_secret(40125);
    let wrong = get(&api, &format!("/cgi-bin/token?{grant}&appid={MAIN}&secret=wrong"));
    assert_eq!(wrong["errcode"], 40125);
    assert_eq!(get(&api, "/cgi-bin/stable_token")["errcode"], 43002);
    assert_eq!(api.fetches(), Fetches { token: 7, stable: 7, forced: 0 });
}

#[test]
fn everything_else_needs_a_valid_token_and_says_what_is_wrong_in_wechats_words() {
    let api = Api::start();
    assert_eq!(get(&api, "/cgi-bin/anything")["errcode"], 41001);
    assert_eq!(get(&api, "/cgi-bin/anything?access_token=")["errcode"], 41001);
    assert_eq!(try_token(&api, "garbage"), 40014);
    api.unknown_token(40001);
    assert_eq!(try_token(&api, "garbage"), 40001);
    let valid = api.token(MAIN);
    let ok = get(&api, &format!("/wxa/any/path?a=b&access_token={valid}"));
    assert_eq!(ok, json!({"errcode": 0, "errmsg": "ok"}));
    api.kill_token(MAIN);
    let answer = get(&api, &format!("/cgi-bin/anything?access_token={valid}"));
    let words = answer["errmsg"].as_str().unwrap();
    let (words, rid) = words.split_once(" rid: ").unwrap();
    assert!(words.starts_with("invalid credential, access_token is invalid or not latest"));
    let parts: Vec<_> = rid.split('-').collect();
    assert_eq!(parts.len(), 3);
    for part in parts {
        assert!(part.len() == 8 && part.chars().all(|digit| digit.is_ascii_hexdigit()), "{rid}");
    }
}

#[test]
fn a_second_token_is_the_callers_mistake_in_any_spelling() {
    let api = Api::start();
    let valid = api.token(MAIN);
    assert_eq!(try_token(&api, &valid), 0);
    assert_eq!(api.mistakes(), [""; 0]);
    for second in ["access_token=x", "access%5Ftoken=x", "Access_Token=x"] {
        assert_eq!(try_token(&api, &format!("{valid}&{second}")), 0);
        assert_eq!(api.mistakes(), ["2 access_token parameters to /cgi-bin/anything"], "{second}");
        api.clear();
    }
    get(&api, &format!("/sns/jscode2session?access_token={valid}"));
    assert_eq!(api.mistakes(), ["an account's access_token to /sns/jscode2session"]);
}

#[test]
fn tickets_are_kept_until_shortly_before_their_end() {
    let api = Api::start();
    let ticket = |kind: &str| {
        let token = api.token(MAIN);
        get(&api, &format!("/cgi-bin/ticket/getticket?access_token={token}&type={kind}"))
    };
    let jsapi = ticket("jsapi");
    assert_eq!((&jsapi["errcode"], &jsapi["expires_in"]), (&json!(0), &json!(7200)));
    assert!(jsapi["ticket"].as_str().unwrap().starts_with(canary::TICKET_PREFIX));
    assert_ne!(ticket("wx_card")["ticket"], jsapi["ticket"]);
    api.kill_token(MAIN);
    assert_eq!(ticket("jsapi")["ticket"], jsapi["ticket"], "not tied to the token");
    api.clock().advance(minutes(115) + seconds(1));
    assert_ne!(ticket("jsapi")["ticket"], jsapi["ticket"]);
    assert_eq!(ticket("other")["errcode"], 40097);
}

#[test]
fn the_named_calls_answer_as_wechat_does() {
    let api = Api::start();
    let token = api.token(MAIN);
    let target = |path: &str| format!("{path}?access_token={token}");
    assert!(get(&api, &target("/cgi-bin/getcallbackip"))["ip_list"].is_array());
    assert!(get(&api, &target("/cgi-bin/get_api_domain_ip"))["ip_list"].is_array());
    let check = post(&api, &target("/cgi-bin/callback/check"), &json!({"action": "all"}));
    assert!(check["dns"].is_array() && check["ping"].is_array());
    let check = post(&api, &target("/cgi-bin/callback/check"), &json!({"action": "shout"}));
    assert_eq!(check["errcode"], 40202);
    let user = get(&api, &format!("{}&openid=o1", target("/cgi-bin/user/info")));
    assert_eq!(user["openid"], "o1");
    assert_eq!(get(&api, &target("/cgi-bin/user/info"))["errcode"], 41009);
    assert_eq!(get(&api, &target("/cgi-bin/user/get"))["count"], 2);
    let menu = json!({"button": [{"type": "click", "name": "菜单", "key": "K"}]});
    assert_eq!(get(&api, &target("/cgi-bin/menu/get"))["errcode"], 46003);
    assert_eq!(post(&api, &target("/cgi-bin/menu/create"), &menu)["errcode"], 0);
    assert_eq!(get(&api, &target("/cgi-bin/menu/get"))["menu"], menu);
    let send = target("/cgi-bin/message/custom/send");
    assert_eq!(post(&api, &send, &json!({"touser": "o1"}))["errcode"], 0);
    assert_eq!(post(&api, &send, &json!("no object"))["errcode"], 47001);
}

#[test]
fn files_go_in_and_come_out_byte_for_byte() {
    let api = Api::start();
    api.media("voice", "audio/amr", *b"#!AMR\n\0\xff");
    let target =
        |id: &str| format!("/cgi-bin/media/get?access_token={}&media_id={id}", api.token(MAIN));
    let voice = http::get(api.address(), &target("voice"));
    assert_eq!((voice.body, voice.headers[2].1.as_str()), (b"#!AMR\n\0\xff".to_vec(), "audio/amr"));
    let made_up = http::get(api.address(), &target("size-100000"));
    assert_eq!(made_up.body.len(), 100_000);
    assert_eq!(made_up.header("content-type"), Some("image/jpeg"));
    assert!(made_up.header("content-disposition").unwrap().contains("attachment"));
    let unknown = http::get(api.address(), &target("nothing"));
    assert_eq!(unknown.header("content-type"), Some("application/json; encoding=utf-8"));
    assert_eq!(unknown.json()["errcode"], 40007);

    let upload = format!("/cgi-bin/media/upload?access_token={}&type=image", api.token(MAIN));
    let headers = [("content-type", "multipart/form-data; boundary=b")];
    for length in [10, BODY_KEPT, BODY_KEPT + 1, 1_000_000] {
        let body = vec![b'x'; length];
        let answer = http::send(api.address(), "POST", &upload, &headers, &body).json();
        assert_eq!(answer["length"], length);
        let mut hash = Body::empty();
        hash.push(&body);
        assert_eq!(answer["sha256"], hash.sha256());
    }
    assert_eq!(post(&api, &upload, &json!({}))["errcode"], 41005);
}

#[test]
fn the_hash_is_sha_256_however_long_the_body_is() {
    let mut body = Body::empty();
    body.push(b"abc");
    let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(body.sha256(), known);
    // A million times "a", of FIPS 180-2.
    let mut body = Body::empty();
    (0..1000).for_each(|_| body.push(&[b'a'; 1000]));
    let known = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
    assert_eq!((body.sha256().as_str(), body.length()), (known, 1_000_000));
}

#[test]
fn logins_take_the_secret_or_the_users_own_token() {
    let api = Api::start();
    let known = format!("appid={MAIN}&secret={}", canary::SECRET);
    let code = "grant_type=authorization_code";
    let session = get(&api, &format!("/sns/jscode2session?{known}&js_code=c&{code}"));
    assert!(session["openid"].as_str().unwrap().starts_with(canary::OPENID));
    assert!(session["session_key"].is_string());
    for (query, errcode) in [
        (format!("{known}&{code}"), 41008),
        (format!("{known}&js_code=c"), 40002),
        (format!("appid=wx9&secret=s&js_code=c&{code}"), 40013),
        (format!("appid={MAIN}&secret=wrong&js_code=c&{code}"), 40125),
        (format!("appid={MAIN}&js_code=c&{code}"), 41004),
    ] {
        assert_eq!(get(&api, &format!("/sns/jscode2session?{query}"))["errcode"], errcode);
    }
    let login = get(&api, &format!("/sns/oauth2/access_token?{known}&code=c&{code}"));
    let user = token(&login);
    assert_eq!(get(&api, &format!("/sns/userinfo?access_token={user}&openid=o1"))["openid"], "o1");
    assert_eq!(get(&api, &format!("/sns/auth?access_token={user}&openid=o1"))["errcode"], 0);
    let refresh = login["refresh_token"].as_str().unwrap();
    let query = format!("appid={MAIN}&grant_type=refresh_token&refresh_token={refresh}");
    token(&get(&api, &format!("/sns/oauth2/refresh_token?{query}")));
    assert_eq!(api.mistakes(), [""; 0]);
    let ours = api.token(MAIN);
    assert_eq!(get(&api, &format!("/sns/auth?access_token={ours}&openid=o1"))["errcode"], 40001);
    assert_eq!(api.mistakes(), ["an account's access_token to /sns/auth"]);
}
