//! A call through a connector, over the same request by a bare client.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use remit_connector::component::{Candidate, Trial};
use remit_connector::{Entry, Origin, Phase};
use remit_engine::Engine;
use remit_text::Table;
use serde_json::json;
use tokio::runtime::Runtime;

use crate::Place;
use crate::measure::{Figure, Section, in_turns};

const FLOOR: &str = "the same request by ureq alone, on loopback";
/// A client that may wait for ever needs no thread to look the name up, and sets no time-out at each read and write.
const TIMED: &str = "the same, with the connector's time-out";
const ANSWER: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 12\r\n\r\n{\"lit\":true}";

/// A server on loopback that answers every request with the same; its address.
fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(&stream));
        }
    });
    address
}

/// Answers until the other end is gone.
fn answer(stream: &TcpStream) {
    let (mut lines, mut line) = (BufReader::new(stream), String::new());
    while lines.read_line(&mut line).is_ok_and(|length| length > 0) {
        if line == "\r\n" && (&mut &*stream).write_all(ANSWER.as_bytes()).is_err() {
            return;
        }
        line.clear();
    }
}

/// The connector of the tests, with that server as its origin.
fn connector(place: &Place, address: &str) -> Trial {
    let file = place.plugins.join("lamps.wasm");
    let text = format!(
        "[[connector]]\nname = 'house'\ncomponent = 'lamps.wasm'\norigin = '{address}'\nallow_private = ['127.0.0.1/32']\n"
    );
    let entry = Table::parse(&text).and_then(|mut all| Entry::read(all.entries("connector")?.remove(0)));
    let entry = entry.expect("an entry");
    let engine = Arc::new(Engine::new(None).expect("an engine"));
    let candidate = Candidate::read(&file).expect("the connector");
    let origin = Arc::new(Origin::open(&entry, &place.disk).expect("an origin"));
    Trial::new(&engine, candidate, &entry, origin).expect("a connector")
}

/// A read of one request.
pub fn through(place: &Place) -> Section {
    let runtime = Runtime::new().expect("threads");
    let address = serve();
    let url = format!("{address}/lamps/hall/door");
    // As the connector's client: a connection for each request.
    let bare: ureq::Agent = ureq::Agent::config_builder().max_idle_connections(0).build().into();
    let trial = connector(place, &address);
    let arguments = json!({ "path": "house/hall/door" });
    let arguments = arguments.as_object().expect("an object");
    let call =
        trial.call("acme:lamps/read.lit", arguments, std::collections::BTreeMap::new()).expect("a call");
    runtime.block_on(trial.compile()).expect("it compiles");
    let get = |within: Option<Duration>| {
        let request = bare.get(&url).config().timeout_global(within).build();
        let mut answer = request.call().expect("an answer");
        assert_eq!(answer.body_mut().read_to_string().expect("a body").len(), 12);
    };
    let [floor, timed, whole] = in_turns(
        30,
        50,
        [
            &mut |n| (0..n).for_each(|_| get(None)),
            &mut |n| (0..n).for_each(|_| get(Some(Duration::from_secs(30)))),
            &mut |n| {
                runtime.block_on(async {
                    for _ in 0..n {
                        trial.phase(Phase::Observe, &call, Vec::new(), None, None).await.expect("it is lit");
                    }
                });
            },
        ],
    );
    Section {
        title: "A call through a connector",
        figures: vec![
            Figure::new("a read of one request: instance, templates, request, checks", whole, "µs")
                .over(FLOOR, floor)
                .at_most_times(1.5),
            Figure::new("the same", whole, "µs").over(FLOOR, floor).at_most_more(1000.0),
            Figure::new("the same", whole, "µs").over(TIMED, timed),
        ],
        notes: vec!["Each request has a connection of its own, of both.".to_owned()],
    }
}
