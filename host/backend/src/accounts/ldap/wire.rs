//! What lies between the host and a directory: TLS, and the limits on what a directory may say. The client has none: it would take
//! an answer of any size, follow it as deep as it is nested, and panic at one that is no LDAP. What comes through is of the form that
//! the client takes for granted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{self, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

/// As much is taken of one message, such as an entry with all its groups, and of all messages of a call: in memory.
const LARGEST: usize = 16 << 20;
const MOST: usize = 128 << 20;
/// What each part of a message takes in memory beside its bytes.
const PART: usize = 64;
/// As deep as LDAP nests: an operation, its attributes, one of them, its values.
const DEEPEST: usize = 6;

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const TEXT: u8 = 0x04;
const ENUMERATED: u8 = 0x0a;
const SEQUENCE: u8 = 0x30;
/// The control of RFC 2696, of whose value the client takes the form for granted.
const PAGED: &[u8] = b"1.2.840.113556.1.4.319";

const UNBIND: u8 = 0x42;
/// Which request each answer is to. What is to none is about the connection.
const ANSWERS: [(u8, u8); 6] =
    [(0x60, 0x61), (0x63, 0x64), (0x63, 0x65), (0x63, 0x73), (0x66, 0x67), (0x77, 0x78)];
/// The request of `StartTLS` (RFC 4511, 4.14.1), as the first message.
const START_TLS: &[u8] = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037";

/// How a directory is reached.
pub(super) struct Wire {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) starts_tls: bool,
}

/// Why a connection was ended here, if it was.
pub(super) type Cut = Arc<OnceLock<&'static str>>;

const NO_LDAP: &str = "it is no LDAP";
const TOO_LARGE: &str = "it says more than the host takes";

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Wire {
    /// Connects. The socket is the client's end; the future carries everything between it and the directory.
    pub(super) async fn connect(
        &self,
        cut: Cut,
    ) -> io::Result<(std::os::unix::net::UnixStream, impl Future<Output = ()> + Send + use<>)> {
        let mut stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        if self.starts_tls {
            start_tls(&mut stream).await?;
        }
        let stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(stream),
            Some(config) => {
                let name = ServerName::try_from(self.host.clone()).map_err(io::Error::other)?;
                Box::new(TlsConnector::from(Arc::clone(config)).connect(name, stream).await?)
            }
        };
        let (ours, theirs) = UnixStream::pair()?;
        Ok((theirs.into_std()?, carry(stream, ours, cut)))
    }
}

async fn start_tls(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(START_TLS).await?;
    let answer = message(stream).await?.map_err(io::Error::other)?;
    // An extended response whose result code is 0.
    let result = check(&answer, 1 << 8 | 0x77).and_then(|_| operation(&answer));
    match result.and_then(|(_, _, result)| part(result)) {
        Some((ENUMERATED, [0], _)) => Ok(()),
        _ => Err(io::Error::other("it does not begin TLS (StartTLS)")),
    }
}

async fn carry(server: Box<dyn Stream>, client: UnixStream, cut: Cut) {
    let (mut from_server, mut to_server) = io::split(server);
    let (mut from_client, mut to_client) = io::split(client);
    // The client asks one thing after the other. Its number, and what it is.
    let asked = AtomicU64::new(0);
    let requests = async {
        while let Ok(Ok(request)) = message(&mut from_client).await {
            let Some((number, tag, _)) = operation(&request) else { return };
            asked.store(number << 8 | u64::from(tag), Ordering::Relaxed);
            if to_server.write_all(&request).await.is_err() || to_server.flush().await.is_err() {
                return;
            }
            if tag == UNBIND {
                let _ = to_server.shutdown().await;
                return;
            }
        }
    };
    let answers = async {
        let mut all = 0;
        // A connection that ends, ends for the client too.
        while let Ok(answer) = message(&mut from_server).await {
            let asked = asked.load(Ordering::Relaxed);
            let why = match answer.map(|answer| (check(&answer, asked), answer)) {
                Err(why) => why,
                Ok((None, _)) => NO_LDAP,
                Ok((Some(takes), _)) if takes > LARGEST || all + takes > MOST => TOO_LARGE,
                Ok((Some(takes), answer)) => {
                    all += takes;
                    if to_client.write_all(&answer).await.is_err() {
                        return;
                    }
                    continue;
                }
            };
            let _ = cut.set(why);
            return;
        }
    };
    tokio::select! {
        () = answers => {}
        () = requests => {}
    }
}

/// One `LDAPMessage`, whole; or why it is none that the host takes.
async fn message(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Result<Vec<u8>, &'static str>> {
    let mut message = vec![0; 2];
    from.read_exact(&mut message).await?;
    let further = match (message[0], message[1]) {
        (SEQUENCE, ..=0x7f) => 0,
        (SEQUENCE, further @ 0x81..=0x84) => usize::from(further & 0x7f),
        _ => return Ok(Err(NO_LDAP)),
    };
    message.resize(2 + further, 0);
    from.read_exact(&mut message[2..]).await?;
    let length = number(&message[if further == 0 { 1..2 } else { 2..2 + further }]);
    if length > LARGEST {
        return Ok(Err(TOO_LARGE));
    }
    // What is said to come is no reason to have memory ready for it.
    let read = from.take(length as u64).read_to_end(&mut message).await?;
    if read < length { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(Ok(message)) }
}

fn number(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

/// The first part of some BER: its tag, what it holds, and what follows it. None if it is not one as LDAP has them.
fn part(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, length], rest) = bytes.split_first_chunk()?;
    let (length, rest) = match length {
        ..=0x7f => (usize::from(length), rest),
        0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            (number(length), rest)
        }
        _ => return None,
    };
    let (held, rest) = rest.split_at_checked(length)?;
    (tag & 0x1f != 0x1f).then_some((tag, held, rest))
}

/// What some BER takes in memory; none if it is none, or nested deeper than this.
fn memory(mut bytes: &[u8], deep: usize) -> Option<usize> {
    let mut all = 0;
    while !bytes.is_empty() {
        let (tag, held, rest) = part(bytes)?;
        let nested = tag & 0x20 != 0;
        all += PART + if nested { memory(held, deep.checked_sub(1)?)? } else { held.len() };
        bytes = rest;
    }
    Some(all)
}

/// Whether all parts are like this.
fn each(mut bytes: &[u8], is: impl Fn(u8, &[u8]) -> bool) -> bool {
    while let Some((tag, held, rest)) = part(bytes) {
        if !is(tag, held) {
            return false;
        }
        bytes = rest;
    }
    bytes.is_empty()
}

fn is_text(tag: u8, held: &[u8]) -> bool {
    tag == TEXT && std::str::from_utf8(held).is_ok()
}

/// The number of a message, and its operation.
fn operation(message: &[u8]) -> Option<(u64, u8, &[u8])> {
    let (SEQUENCE, held, []) = part(message)? else { return None };
    let (INTEGER, id @ ([_] | [_, _] | [_, _, _] | [_, _, _, _]), rest) = part(held)? else { return None };
    part(rest).map(|(tag, held, _)| (number(id) as u64, tag, held))
}

/// What an answer takes in memory; none if it is none to what was asked, of the form that the client takes for granted.
fn check(message: &[u8], asked: u64) -> Option<usize> {
    let (_, held, _) = part(message)?;
    let takes = memory(held, DEEPEST)?;
    let (id, tag, of) = operation(message)?;
    let answers = |(request, answer)| id << 8 | u64::from(request) == asked && answer == tag;
    if !(ANSWERS.into_iter().any(answers) || (id, tag) == (0, 0x78)) {
        return None;
    }
    let form = match tag {
        // An entry. Its own reader checks it.
        0x64 => true,
        // A reference to another server.
        0x73 => each(of, is_text),
        // The results of signing in, searching, modifying, and of others.
        _ => is_result(of)?,
    };
    let (_, _, rest) = part(held)?;
    let (_, _, rest) = part(rest)?;
    let with = match (rest, part(rest)) {
        ([], _) => true,
        (_, Some((0xa0, controls, []))) => {
            each(controls, |tag, of| tag == SEQUENCE && is_control(of).is_some())
        }
        // So Active Directory says that it ends the connection.
        (_, Some((0x8a, _, []))) => true,
        _ => false,
    };
    (form && with).then_some(takes)
}

/// Whether it is an `LDAPResult` of RFC 4511, 4.1.9, with what bind and extended responses have beside it.
fn is_result(bytes: &[u8]) -> Option<bool> {
    let (code, value, rest) = part(bytes)?;
    let (matched, dn, rest) = part(rest)?;
    let (said, words, rest) = part(rest)?;
    let whole = code == ENUMERATED && value.len() <= 4 && is_text(matched, dn) && is_text(said, words);
    let more = each(rest, |tag, held| match tag & 0x1f {
        3 => tag & 0x20 != 0 && each(held, is_text),
        7 | 11 => tag & 0x20 == 0,
        10 => tag & 0x20 == 0 && std::str::from_utf8(held).is_ok(),
        _ => true,
    });
    Some(whole && more)
}

/// Whether it is a control of RFC 4511, 4.1.11.
fn is_control(bytes: &[u8]) -> Option<()> {
    let (tag, name, rest) = part(bytes)?;
    let value = match part(rest) {
        Some((BOOLEAN, [_], rest)) => rest,
        _ => rest,
    };
    let value = match (value, part(value)) {
        ([], _) => None,
        (_, Some((TEXT, held, []))) => Some(held),
        _ => return None,
    };
    let whole = name != PAGED || value.is_some_and(is_page);
    (is_text(tag, name) && whole).then_some(())
}

fn is_page(value: &[u8]) -> bool {
    let Some((SEQUENCE, held, [])) = part(value) else { return false };
    let Some((INTEGER, _, rest)) = part(held) else { return false };
    matches!(part(rest), Some((TEXT, _, [])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(tag: u8, held: &[u8]) -> Vec<u8> {
        let length = u32::try_from(held.len()).unwrap().to_be_bytes();
        [&[tag, 0x84], &length[..], held].concat()
    }

    fn answer(operation: &[u8], more: &[u8]) -> Vec<u8> {
        of(SEQUENCE, &[&[INTEGER, 1, 7][..], operation, more].concat())
    }

    fn control(name: &[u8], value: &[u8]) -> Vec<u8> {
        of(0xa0, &of(SEQUENCE, &[of(TEXT, name), of(TEXT, value)].concat()))
    }

    /// A search with the number of the answers here.
    const SEARCH: u64 = 7 << 8 | 0x63;
    const DONE: &[u8] = &[0x65, 7, ENUMERATED, 1, 0, TEXT, 0, TEXT, 0];

    #[test]
    fn only_answers_of_the_form_of_ldap_come_through() {
        let nested = |times| (0..times).fold(Vec::new(), |held, _| of(SEQUENCE, &held));
        let page = of(SEQUENCE, &[INTEGER, 1, 0, TEXT, 1, 9]);
        for good in [
            answer(DONE, &[]),
            answer(DONE, &control(PAGED, &page)),
            answer(DONE, &control(b"1.2.3", b"\x30")),
            answer(DONE, &[0xa0, 9, SEQUENCE, 7, TEXT, 2, b'1', b'1', BOOLEAN, 1, 0xff]),
            answer(DONE, &[0x8a, 1, b'1']),
            answer(&of(0x73, &of(TEXT, b"ldap://x")), &[]),
            answer(&of(0x64, &nested(DEEPEST - 1)), &[]),
        ] {
            assert!([SEARCH, 7 << 8 | 0x66].iter().any(|asked| check(&good, *asked).is_some()), "{good:?}");
        }
        for bad in [
            vec![],
            vec![SEQUENCE, 0x80],
            vec![SEQUENCE, 0x85, 0, 0, 0, 0, 0],
            vec![SEQUENCE, 5, INTEGER, 1, 7],
            [answer(DONE, &[]), vec![0]].concat(),
            of(SEQUENCE, DONE),
            of(SEQUENCE, &[&[TEXT, 1, 7], DONE].concat()),
            // A result code that is a text, and words that are none.
            answer(&[0x67, 4, TEXT, 2, b'o', b'k'], &[]),
            answer(&[0x65, 8, ENUMERATED, 1, 0, TEXT, 0, TEXT, 1, 0xff], &[]),
            answer(&[0x65, 10, ENUMERATED, 1, 0, TEXT, 0, TEXT, 0, 0x83, 1, 0], &[]),
            answer(&of(0x73, &[0]), &[]),
            // A request.
            answer(&of(0x63, &[]), &[]),
            answer(&of(0x7f, &[]), &[]),
            answer(DONE, &[0xa0, 1, 0]),
            answer(DONE, &of(0xa0, &of(SEQUENCE, &[]))),
            answer(DONE, &control(b"\xff", b"")),
            answer(DONE, &[0xa0, 8, SEQUENCE, 6, TEXT, 2, b'1', b'1', BOOLEAN, 0]),
            answer(DONE, &control(PAGED, &nested(2))),
            answer(DONE, &control(PAGED, b"")),
            answer(&of(0x64, &nested(DEEPEST)), &[]),
            answer(&of(0x64, &nested(2_000)), &[]),
        ] {
            assert!([SEARCH, 7 << 8 | 0x66].iter().all(|asked| check(&bad, *asked).is_none()), "{bad:?}");
        }
        // Nothing, many times, takes more than it seems to.
        assert!(check(&answer(&of(0x64, &[TEXT, 0].repeat(1_000)), &[]), SEARCH).unwrap() > 1_000 * PART);
        // An answer to something else.
        let done = answer(DONE, &[]);
        for asked in [0, 8 << 8 | 0x63, 7 << 8 | 0x66, 7 << 8 | 0x60] {
            assert_eq!(check(&done, asked), None);
        }
        assert!(check(&answer(&[0x67, 7, ENUMERATED, 1, 0, TEXT, 0, TEXT, 0], &[]), 7 << 8 | 0x66).is_some());
    }

    /// How much the client's end of a search gets of this, and why it ended.
    async fn through(said: Vec<u8>, times: usize) -> (usize, Option<&'static str>) {
        let (mut server, ours) = io::duplex(1 << 16);
        let (theirs, mut client) = UnixStream::pair().unwrap();
        let cut = Cut::default();
        let carried = tokio::spawn(carry(Box::new(ours), theirs, Arc::clone(&cut)));
        client.write_all(&answer(&of(0x63, &[]), &[])).await.unwrap();
        let says = tokio::spawn(async move {
            // After it was asked.
            server.read_u8().await.unwrap();
            for _ in 0..times {
                let _ = server.write_all(&said).await;
            }
        });
        let got = io::copy(&mut client, &mut io::sink()).await.unwrap();
        carried.await.unwrap();
        says.await.unwrap();
        (usize::try_from(got).unwrap(), cut.get().copied())
    }

    #[tokio::test]
    async fn what_is_too_much_ends_the_connection() {
        let done = answer(DONE, &[]);
        assert_eq!(through(done.clone(), 3).await, (3 * done.len(), None));
        // The rest of it never comes.
        assert_eq!(through(done[..9].to_vec(), 1).await, (0, None));
        assert_eq!(through([&done[..], &[0x16, 3, 1]].concat(), 1).await, (done.len(), Some(NO_LDAP)));
        // What is only said to come; what is made of small parts; and many together.
        assert_eq!(through(vec![SEQUENCE, 0x84, 0x7f, 0xff, 0xff, 0xff], 1).await, (0, Some(TOO_LARGE)));
        let parts = answer(&of(0x64, &[TEXT, 0].repeat(LARGEST / PART)), &[]);
        assert_eq!(through(parts, 1).await, (0, Some(TOO_LARGE)));
        let half = answer(&of(0x64, &of(TEXT, &vec![0; LARGEST / 2])), &[]);
        let times = MOST / (LARGEST / 2);
        assert_eq!(through(half.clone(), times).await, (half.len() * (times - 1), Some(TOO_LARGE)));
    }
}
