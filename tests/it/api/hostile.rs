use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;

const TEN_MEGABYTES: usize = 10 * 1024 * 1024;

/// Writes until the server will take no more, then reads the answer.
fn flood(fixture: &Fixture, head: &str, piece: &[u8], pieces: usize) -> Answer {
    let mut stream = fixture.connect();
    stream.write_all(head.as_bytes()).unwrap();
    for _ in 0..pieces {
        if stream.write_all(piece).is_err() {
            break;
        }
    }
    let mut received = Vec::new();
    // A reset after the answer is the server's right.
    let _ = stream.read_to_end(&mut received);
    Answer::parse(&received).expect("an answer before the end of the connection")
}

#[test]
fn bodies_over_64_kib_are_refused_however_they_come() {
    let fixture = Fixture::new(active());
    let piece = vec![b'x'; 64 * 1024];
    let mut chunk = b"10000\r\n".to_vec();
    chunk.extend_from_slice(&piece);
    chunk.extend_from_slice(b"\r\n");
    for method in ["GET", "POST", "PUT"] {
        let announced =
            format!("{method} /server_status HTTP/1.1\r\nHost: x\r\nContent-Length: {TEN_MEGABYTES}\r\n\r\n");
        assert_eq!(flood(&fixture, &announced, &[], 0).code, 413, "{method}, announced");
        assert_eq!(flood(&fixture, &announced, &piece, TEN_MEGABYTES / piece.len()).code, 413, "{method}, sent");
        let polite = announced.replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n");
        assert_eq!(flood(&fixture, &polite, &[], 0).code, 413, "{method}, not invited to send");
        let chunked = format!("{method} /v1/info/state HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
        let answer = flood(&fixture, &chunked, &chunk, TEN_MEGABYTES / piece.len());
        assert_eq!(answer.code, 413, "{method}, chunked");
        assert!(answer.json()["error"].is_string());
    }
    assert_eq!(fixture.get("/primary").code, 200);
}

#[test]
fn a_body_of_64_kib_is_taken() {
    let fixture = Fixture::new(active());
    let head = "GET /primary HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 65536\r\n\r\n";
    assert_eq!(flood(&fixture, head, &[b'x'; 65_536], 1).code, 200);
}

#[test]
fn a_connection_carries_several_requests() {
    let fixture = Fixture::new(active());
    let mut stream = fixture.connect();
    for _ in 0..3 {
        stream.write_all(b"GET /api/_ping HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut received = Vec::new();
        while !received.ends_with(b"\"OK\"") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            received.push(byte[0]);
        }
        assert_eq!(Answer::parse(&received).unwrap().code, 200);
    }
}

#[test]
fn slow_headers_slow_bodies_and_silence_are_cut() {
    let fixture = Fixture::new(active());
    let starts: [&[u8]; 4] = [
        b"",
        b"GET /primary HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        b"GET /primary HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc",
        b"GET /primary HTTP/1.1\r\nHost: x\r\n\r\n",
    ];
    let mut streams: Vec<TcpStream> = starts.iter().map(|_| fixture.connect()).collect();
    for (stream, start) in streams.iter_mut().zip(starts) {
        stream.write_all(start).unwrap();
    }
    // One more byte every now and then buys no time.
    let mut dripping = streams[1].try_clone().unwrap();
    std::thread::spawn(move || {
        while dripping.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(500));
        }
    });
    let mut codes = Vec::new();
    for mut stream in streams {
        let mut received = Vec::new();
        if let Err(error) = stream.read_to_end(&mut received) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
        codes.push(Answer::parse(&received).map(|answer| answer.code));
    }
    assert_eq!(codes[0], None, "silence");
    assert!(matches!(codes[1], None | Some(408)), "a slow header: {:?}", codes[1]);
    assert_eq!(codes[2], Some(408), "a slow body");
    assert_eq!(codes[3], Some(200), "a kept connection is answered, then cut");
}

#[test]
fn eleven_hundred_idle_connections_do_not_keep_a_health_check_out() {
    let fixture = Fixture::new(active());
    let idle: Vec<TcpStream> = (0..1_100).map(|_| fixture.connect()).collect();
    assert_eq!(fixture.get("/health").code, 200);
    drop(idle);
    assert_eq!(fixture.get("/health").code, 200);
}

/// Asks on a kept connection; false once that has ended.
fn ask_again(stream: &mut TcpStream) -> bool {
    if stream.write_all(b"GET /api/_ping HTTP/1.1\r\nHost: x\r\n\r\n").is_err() {
        return false;
    }
    let mut received = Vec::new();
    let mut buffer = [0; 1024];
    while !received.ends_with(b"\"OK\"") {
        match stream.read(&mut buffer) {
            Ok(count) if count > 0 => received.extend_from_slice(&buffer[..count]),
            _ => return false,
        }
    }
    true
}

#[test]
fn eleven_hundred_busy_connections_do_not_keep_a_health_check_out() {
    let fixture = Fixture::new(active());
    let address = fixture.api.address();
    let over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let crowd: Vec<_> = (0..11)
        .map(|_| {
            let over = over.clone();
            std::thread::spawn(move || {
                let mut streams: Vec<Option<TcpStream>> = (0..100).map(|_| Some(connect(address))).collect();
                while !over.load(Ordering::Relaxed) {
                    let began = clock::now();
                    for stream in &mut streams {
                        // Whoever was sent away comes back.
                        if !stream.as_mut().is_some_and(ask_again) {
                            *stream = TcpStream::connect(address).ok();
                        }
                    }
                    std::thread::sleep(Duration::from_millis(600).saturating_sub(clock::now().since(began)));
                }
            })
        })
        .collect();
    let mut slowest = Duration::ZERO;
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(100));
        let asked = clock::now();
        assert_eq!(fixture.get("/health").code, 200);
        slowest = slowest.max(clock::now().since(asked));
    }
    over.store(true, Ordering::Relaxed);
    for thread in crowd {
        thread.join().unwrap();
    }
    assert!(slowest < Duration::from_secs(3), "a health check took {slowest:?}");
}

#[test]
fn strange_paths_and_headers_are_answered_or_cut_and_the_server_goes_on() {
    let fixture = Fixture::new(active());
    let long = vec![b'a'; 100_000];
    let lines: [&[u8]; 12] = [
        b"GET /%ff%fe HTTP/1.1",
        b"GET /\xff\xfe HTTP/1.1",
        b"GET /%zz%2 HTTP/1.1",
        b"GET /api/leader-check/%ff HTTP/1.1",
        b"GET /api/leader-check/\xff HTTP/1.1",
        b"GET /api/leader-check/%zz HTTP/1.1",
        b"GET /api/leader-check/ HTTP/1.1",
        b"GET * HTTP/1.1",
        b"GET http://x/primary HTTP/1.1",
        b"CONNECT x:1 HTTP/1.1",
        b"GET /primary HTTP/1.1\r\nAccept: \xff\r\nAuthorization: \xff\xff\r\nContent-Length: -1",
        b"GET /primary HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2",
    ];
    for line in lines.into_iter().chain([long.as_slice()]) {
        let mut stream = fixture.connect();
        let request = [line, b"\r\nHost: x\r\nConnection: close\r\n\r\n"].concat();
        let _ = stream.write_all(&request);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut received = Vec::new();
        let _ = stream.read_to_end(&mut received);
        if let Some(answer) = Answer::parse(&received) {
            assert!(answer.code < 500, "{}: {}", String::from_utf8_lossy(line), answer.code);
        }
        assert_eq!(fixture.get("/primary").code, 200);
    }
}

#[test]
fn arbitrary_bytes_never_end_the_server() {
    let fixture = Fixture::new(active());
    let starts = prop::sample::select(vec![
        "",
        "GET ",
        "GET /primary HTTP/1.1\r\n",
        "PUT /v1/info/state HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET /api/leader-check/",
    ]);
    let bytes = prop::collection::vec(any::<u8>(), 0..600);
    let mut runner = TestRunner::new(Config { cases: 200, failure_persistence: None, ..Config::default() });
    runner
        .run(&(starts, bytes), |(start, bytes)| {
            let mut stream = fixture.connect();
            let _ = stream.write_all(&[start.as_bytes(), &bytes].concat());
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
            prop_assert_eq!(fixture.get("/primary").code, 200);
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_client_that_never_reads_is_cut() {
    let fixture = Fixture::new(active());
    let mut stream = fixture.connect();
    let requests = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1_000);
    let started = clock::now();
    // Fills every buffer between here and there, and goes on until the server's kernel has given up.
    let error = loop {
        if let Err(error) = stream.write_all(&requests) {
            break error;
        }
        assert!(clock::now().since(started) < LIMIT, "all of it was taken");
    };
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}
