use super::*;
use crate::loss::lock;
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;

/// What a server got.
#[derive(Debug)]
struct Request {
    head: String,
    body: Vec<u8>,
}

/// A server that gives these answers, one a connection, and then is gone. An empty one: it never answers.
fn server(listener: TcpListener, answers: &'static [&'static str]) -> JoinHandle<Vec<Request>> {
    std::thread::spawn(move || {
        let mut silent = vec![];
        let mut got = vec![];
        for answer in answers {
            let (stream, _) = listener.accept().unwrap();
            got.push(request(&stream));
            let mut stream = stream;
            match answer.is_empty() {
                true => silent.push(stream),
                false => {
                    let head = format!("HTTP/1.1 {answer}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
                    stream.write_all(head.as_bytes()).unwrap();
                }
            }
        }
        got
    })
}

fn request(stream: &TcpStream) -> Request {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        if let Some(n) = line.to_lowercase().strip_prefix("content-length:") {
            length = n.trim().parse().unwrap();
        }
        head += &line;
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    Request { head, body }
}

fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, format!("http://127.0.0.1:{port}/x?k=secret"))
}

fn setup(url: &str) -> Setup {
    Setup {
        url: url.into(),
        user_agent: "tester".into(),
        trust: Trust::default(),
        echo: false,
        compress: false,
        keep_alive: false,
        timeouts: 1,
        json: true,
    }
}

fn output(setup: &Setup) -> (Http, Watch) {
    let watch = Watch::default();
    (Http::patient(setup, watch.clone(), Duration::from_millis(300)).unwrap(), watch)
}

fn line() -> Line {
    Line { text: "{\"rule\":\"ü\"}".into(), severity: 4 }
}

#[test]
fn an_alert_is_a_post_of_its_text() {
    let (listener, url) = listener();
    let server = server(listener, &["200 OK"]);
    let url = url.replace("http://", "http://me:p%40ss@");
    let (mut http, _) = output(&setup(&format!("\"{url}\"")));
    http.write(&line()).unwrap();
    let got = server.join().unwrap();
    let head = got[0].head.to_lowercase();
    assert!(head.starts_with("post /x?k=secret http/1.1"), "{head}");
    for header in ["content-type: application/json", "user-agent: tester", "authorization: basic bwu6cebzcw=="] {
        assert!(head.contains(header), "{header} in {head}");
    }
    assert_eq!(got[0].body, line().text.as_bytes());
}

#[test]
fn neither_user_nor_query_is_shown() {
    let url = shown(&setup("https://me:pass@example.org:8443/a?token=1")).unwrap();
    assert_eq!(url, "https://example.org:8443/a");
    for wrong in ["", "ftp://x/", "localhost:2801", "http://", "no url"] {
        assert!(shown(&setup(wrong)).unwrap_err().to_string().contains("http_output.url"), "{wrong}");
    }
}

#[test]
fn who_cannot_take_it_now_is_asked_again_and_who_refuses_is_not() {
    let (listener, url) = listener();
    let server = server(listener, &["503 Busy", "429 Slower", "200 OK", "400 Bad"]);
    let (mut http, watch) = output(&setup(&url));
    http.write(&line()).unwrap();
    assert!(lock(&watch.status).error.contains("429"), "the trouble stands in the status");
    let error = http.write(&line()).unwrap_err().to_string();
    assert!(error.contains("400"), "{error}");
    assert_eq!(server.join().unwrap().len(), 4);
}

#[test]
fn who_does_not_answer_in_time_is_asked_as_often_as_configured() {
    let (listener, url) = listener();
    let server = server(listener, &["", "", "200 OK"]);
    let (mut http, _) = output(&setup(&url));
    let error = http.write(&line()).unwrap_err().to_string();
    assert!(error.contains("timeout"), "{error}");
    http.write(&line()).unwrap();
    assert_eq!(server.join().unwrap().len(), 3);
}

#[test]
fn a_server_that_is_away_is_waited_for() {
    let (listener, url) = listener();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (mut http, watch) = output(&setup(&url));
    let writer = std::thread::spawn(move || http.write(&line()));
    while lock(&watch.status).error.is_empty() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let server = server(TcpListener::bind(address).unwrap(), &["200 OK"]);
    writer.join().unwrap().unwrap();
    assert_eq!(server.join().unwrap().len(), 1);
}

#[test]
fn at_the_end_nobody_is_waited_for() {
    let (listener, url) = listener();
    drop(listener);
    let (mut http, watch) = output(&setup(&url));
    watch.end();
    let started = Instant::now();
    assert!(http.write(&line()).is_err() && started.elapsed() < LONGEST);
}

#[test]
fn compressed_bytes_are_sent_until_a_server_does_not_understand_them() {
    let (listener, url) = listener();
    let server = server(listener, &["200 OK", "400 What", "200 OK", "200 OK"]);
    let (mut http, _) = output(&Setup { compress: true, ..setup(&url) });
    for _ in 0..3 {
        http.write(&line()).unwrap();
    }
    let got = server.join().unwrap();
    let zipped: Vec<bool> = got.iter().map(|r| r.head.to_lowercase().contains("content-encoding: gzip")).collect();
    assert_eq!(zipped, [true, true, false, false]);
    let mut text = String::new();
    flate2::read::GzDecoder::new(&got[0].body[..]).read_to_string(&mut text).unwrap();
    assert_eq!((text, &got[3].body[..]), (line().text, line().text.as_bytes()));
}
