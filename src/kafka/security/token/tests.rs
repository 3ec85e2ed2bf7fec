use super::*;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

/// Serves one request with each of `responses`, then stops.
fn server(responses: Vec<(u16, String)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for (status, body) in responses {
            let (mut client, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(client.try_clone().unwrap()).lines();
            while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            let head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
            client.write_all((head + &body).as_bytes()).unwrap();
        }
    });
    url
}

fn tokens(responses: Vec<(u16, String)>) -> TokenCache {
    let credentials = ("bridge".to_owned(), Secret::new("hunter2"));
    TokenCache::new(TokenSource::Endpoint(Box::new(TokenClient::new(server(responses), credentials, None, None))))
}

fn given(token: &str, seconds: u64) -> (u16, String) {
    (200, serde_json::json!({"access_token": token, "expires_in": seconds}).to_string())
}

fn jwt(claims: &Value) -> String {
    format!("e30.{}.", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

const LONG: Duration = Duration::from_secs(20);

#[test]
fn a_token_is_used_until_it_is_due_for_renewal_or_rejected() {
    let tokens = tokens(vec![given("short", 0), given("long", 3600), given("new", 3600)]);
    let next = || tokens.get(LONG).unwrap().reveal().to_owned();
    assert_eq!([next(), next(), next()], ["short", "long", "long"]);
    tokens.expire();
    assert_eq!(next(), "new");
}

#[test]
fn a_valid_token_is_used_while_no_new_one_can_be_fetched() {
    let tokens = tokens(vec![given("old", 3600)]);
    let next = || tokens.get(LONG).map(|token| token.reveal().to_owned());
    next().unwrap();
    tokens.last().as_mut().unwrap().renew_at = Some(Instant::now());
    let another_asks = tokens.fetching.lock().unwrap();
    assert_eq!(next(), Ok("old".to_owned()), "a fetch in another thread does not block");
    drop(another_asks);
    assert_eq!([next(), next()], [Ok("old".to_owned()), Ok("old".to_owned())], "the server is down");
    tokens.expire();
    assert!(matches!(next(), Err(BrokerError::NoCredentials(_))));
}

#[test]
fn a_lifetime_of_any_length_is_accepted() {
    for seconds in [1 << 40, i64::MAX as u64, u64::MAX] {
        let tokens = tokens(vec![given("long", seconds)]);
        for _ in 0..2 {
            assert_eq!(tokens.get(LONG).unwrap().reveal(), "long");
        }
    }
}

#[test]
fn a_silent_server_gets_one_request_for_all_waiting_threads() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/token", silent.local_addr().unwrap());
    let client = TokenClient::new(url, ("bridge".to_owned(), Secret::new("hunter2")), None, None);
    let tokens = TokenCache::new(TokenSource::Endpoint(Box::new(client)));
    std::thread::scope(|scope| {
        let ask = || tokens.get(Duration::from_secs(2)).map(drop);
        let first = scope.spawn(ask);
        let deadline = Instant::now() + LONG;
        while tokens.fetching.try_lock().is_ok() {
            assert!(Instant::now() < deadline);
            std::thread::yield_now();
        }
        let others: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        assert_eq!(tokens.user(), None);
        assert!(!first.is_finished(), "`user` must return before the fetch ends");
        for caller in others.into_iter().chain([first]) {
            assert!(matches!(caller.join().unwrap(), Err(BrokerError::NoCredentials(_))));
        }
    });
    silent.set_nonblocking(true).unwrap();
    assert_eq!(silent.incoming().map_while(Result::ok).count(), 1);
}

#[test]
fn a_rejection_differs_from_an_unreachable_server() {
    let refusal = r#"{"error":"invalid_client","error_description":"no such client"}"#.to_owned();
    let cases = [
        ((401, refusal), "Untrusted", "no such client"),
        ((500, String::new()), "NoCredentials", "status 500"),
        ((200, "{}".to_owned()), "NoCredentials", "no access_token"),
        ((200, "<html>".to_owned()), "NoCredentials", "no access_token"),
    ];
    for (answer, kind, words) in cases {
        let error = tokens(vec![answer]).get(LONG).err().unwrap();
        let text = format!("{error:?}");
        assert!(text.starts_with(kind) && text.contains(words) && !text.contains("hunter2"), "{text}");
    }
    let error = tokens(Vec::new()).get(LONG).err().unwrap();
    assert!(matches!(error, BrokerError::NoCredentials(_)), "{error:?}");
}

#[test]
fn implausible_expiry_times_in_a_token_are_ignored() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let left = |claims: Value| time_left(&jwt(&claims)).map(|left| left.as_secs());
    assert!(left(serde_json::json!({"exp": now + 100})).is_some_and(|left| (98..=100).contains(&left)));
    assert_eq!(left(serde_json::json!({"exp": now - 100})), Some(0));
    for claims in [serde_json::json!({}), serde_json::json!({"exp": -1}), serde_json::json!({"exp": 1e300})] {
        assert_eq!(left(claims), None);
    }
    assert_eq!(time_left("opaque"), None);
    assert_eq!(claims(&jwt(&serde_json::json!({"sub": "alice"}))).unwrap()["sub"], "alice");
}
