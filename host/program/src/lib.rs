//! Running a program that the operator named: without a shell, in an environment of its own, for no longer than it may take. One that takes
//! longer is ended with all that it started.
#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use rustix::fs::{Access, access};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;

/// Where a system keeps its programs: what the host's own environment says does not count.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What has the kernel end a program when the one ends that started it.
const TETHER: &str = "setpriv";

/// A program, its arguments, and how it is run: without a variable, with nothing to read, and with nothing of its output kept.
#[derive(Clone, Debug)]
pub struct Program {
    words: Vec<OsString>,
    /// Where it is run; where the host was started, if it does not matter.
    folder: Option<&'static str>,
    environment: Vec<(OsString, OsString)>,
    input: Option<Vec<u8>>,
    kept: Option<usize>,
}

/// Why a program did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum Broke {
    /// It was not started.
    #[error("it cannot be run: {0}")]
    NotStarted(io::Error),
    /// It was started, and how it ended is not known.
    #[error("how it ended is not known: {0}")]
    Lost(io::Error),
    /// It was ended, because it took longer than this.
    #[error("it took longer than {0:?}, and was ended")]
    Late(Duration),
    /// It was ended, because it wrote more than this many bytes that were to be kept.
    #[error("it wrote more than {0} bytes, and was ended")]
    TooMuch(usize),
}

impl Program {
    /// A program, by a path or by a name that is looked for in its own `PATH`, and its arguments.
    pub fn new<W: Into<OsString>>(words: impl IntoIterator<Item = W>) -> Self {
        let words = words.into_iter().map(Into::into).collect();
        Self { words, folder: None, environment: Vec::new(), input: None, kept: None }
    }

    /// One that ends when the host does: what it would do later, nobody would know of. It is run in `/`, and has a `PATH`.
    pub fn tethered<W: Into<OsString>>(words: impl IntoIterator<Item = W>) -> Self {
        let tether = [TETHER, "--pdeathsig", "KILL", "--"].map(OsString::from);
        let words = tether.into_iter().chain(words.into_iter().map(Into::into));
        Self { folder: Some("/"), ..Self::new(words).with("PATH", PATH) }
    }

    /// With a variable. It has no others.
    #[must_use]
    pub fn with(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// With this on its standard input. It need not read it.
    #[must_use]
    pub fn reading(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = Some(input.into());
        self
    }

    /// With its output and its errors in the answer, of which each may have this many bytes.
    #[must_use]
    pub fn keeping(mut self, bytes: usize) -> Self {
        self.kept = Some(bytes);
        self
    }

    /// Runs it to its end. It goes on to there, or to its time limit, if nobody waits for the answer any more.
    pub async fn run(self, time_limit: Duration) -> Result<Output, Broke> {
        let runtime = Handle::current();
        // A thread of its own, which lives as long as the program: the kernel takes the end of the thread for that of the host.
        let run = tokio::task::spawn_blocking(move || runtime.block_on(self.supervise(time_limit)));
        run.await.unwrap_or_else(|gone| Err(Broke::Lost(io::Error::other(gone))))
    }

    async fn supervise(self, time_limit: Duration) -> Result<Output, Broke> {
        let mut child = self.start().map_err(Broke::NotStarted)?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (most, input) = (self.kept.unwrap_or_default(), self.input.unwrap_or_default());
        let feed = async move {
            if let Some(mut stdin) = stdin {
                // It may close its input early: only how it ends counts.
                let _ = stdin.write_all(&input).await;
            }
            std::future::pending::<Infallible>().await
        };
        let ends = async {
            let status = async { child.wait().await.map_err(Broke::Lost) };
            let (status, stdout, stderr) = tokio::try_join!(status, read(stdout, most), read(stderr, most))?;
            Ok(Output { status, stdout, stderr })
        };
        let ended = async {
            tokio::select! {
                ended = ends => ended,
                never = feed => match never {},
            }
        };
        let ended = tokio::time::timeout(time_limit, ended).await.unwrap_or(Err(Broke::Late(time_limit)));
        if ended.is_err() {
            end(&mut child).await;
        }
        ended
    }

    fn start(&self) -> io::Result<Child> {
        let Some((program, arguments)) = self.words.split_first() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is no command"));
        };
        let stream = |kept: bool| if kept { Stdio::piped() } else { Stdio::null() };
        let mut command = Command::new(program);
        if let Some(folder) = self.folder {
            command.current_dir(folder);
        }
        command
            .args(arguments)
            // The host's own may have tokens that it got for its own work.
            .env_clear()
            .envs(self.environment.iter().cloned())
            .stdin(stream(self.input.is_some()))
            .stdout(stream(self.kept.is_some()))
            .stderr(stream(self.kept.is_some()))
            // So that all that it starts can be ended with it.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
    }
}

/// All that comes, if it is not more than `most` bytes.
async fn read(from: Option<impl AsyncRead + Unpin>, most: usize) -> Result<Vec<u8>, Broke> {
    let mut all = Vec::new();
    if let Some(from) = from {
        from.take(most as u64 + 1).read_to_end(&mut all).await.map_err(Broke::Lost)?;
    }
    if all.len() > most { Err(Broke::TooMuch(most)) } else { Ok(all) }
}

/// Ends a program, and what it started that is still of its group.
async fn end(child: &mut Child) {
    // One that has ended has no number any more, which may be another's by now.
    if let Some(group) = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.kill().await;
}

/// Why [`Program::tethered`] cannot run the program at an absolute path; none if it can, as far as that can be seen.
#[must_use]
pub fn cannot_run(program: &Path) -> Option<String> {
    if !PATH.split(':').any(|folder| Path::new(folder).join(TETHER).is_file()) {
        return Some(format!("it is run by `{TETHER}`, which is not there (on Debian: util-linux)"));
    }
    match std::fs::metadata(program) {
        Err(error) => Some(error.to_string()),
        Ok(meta) if !meta.is_file() => Some("it is no file".to_owned()),
        Ok(_) => access(program, Access::EXEC_OK).err().map(|errno| errno.to_string()),
    }
}
