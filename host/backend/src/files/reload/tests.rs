//! A file is changed and taken back, and the program that is told does all that a program can do wrong.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use cap_std::ambient_authority;
use remit_text::Table;

use super::*;
use crate::files::look::snapshot;
use crate::files::{Files, FilesConfig};
use crate::systems::Systems as _;

const OLD: &str = "password = old\n";
const NEW: &str = "password = very-secret\n";

/// A directory with a file, and beside it what the program that reads the file has read.
struct Scene {
    folder: tempfile::TempDir,
    root: Dir,
    file: Resource,
    reloads: Vec<Reload>,
}

impl Scene {
    /// `scripts` are run one after the other, in the folder that has the directory.
    fn set(scripts: &[&str], timeout: SignedDuration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("etc")).unwrap();
        fs::write(folder.path().join("etc/app.conf"), OLD).unwrap();
        fs::write(folder.path().join("loaded"), OLD).unwrap();
        let root = Dir::open_ambient_dir(folder.path().join("etc"), ambient_authority()).unwrap();
        let reload = |script: &&str| {
            let script = format!("cd {} && {{ {script}; }}", folder.path().display());
            let command = ["/bin/sh", "-c", &script].map(ToOwned::to_owned).to_vec();
            Reload::new("etc", &ReloadConfig { file: "*".to_owned(), command, timeout }).unwrap()
        };
        let reloads = scripts.iter().map(reload).collect();
        let file = Resource::new(KIND, "etc/app.conf").unwrap();
        Self { folder, root, file, reloads }
    }

    fn quick(script: &str) -> Self {
        Self::set(&[script], SignedDuration::from_secs(20))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn followed(&self) -> Followed<'_> {
        let reloads = self.reloads.iter().filter(|reload| reload.is_for(&self.file)).collect();
        Followed { root: &self.root, path: "app.conf", file: &self.file, reloads }
    }

    /// The file as it is, with another content.
    fn with(&self, content: &str) -> Node {
        let Node::File(mut file) = snapshot(&self.root, "app.conf").unwrap().node else { panic!("no file") };
        file.content = content.into();
        Node::File(file)
    }

    async fn change(&self) -> Result<(), Failure> {
        let like = self.with(OLD).likeness();
        let expected = Expected { like: &like, thing: None, within: None };
        self.followed().change(expected, &self.with(NEW), None).await
    }

    async fn put_back(&self) -> Result<(), Failure> {
        let like = self.with(NEW).likeness();
        let expected = Expected { like: &like, thing: None, within: None };
        self.followed().put_back(expected, &self.with(OLD)).await
    }
}

/// What is told has nothing of the file, which the programs here all print.
#[track_caller]
fn says(failure: &Failure, words: &[&str]) {
    let told = failure.to_string();
    for word in words {
        assert!(told.contains(word), "no `{word}` in: {told}");
    }
    assert!(!told.contains("secret"), "{told}");
}

#[tokio::test]
async fn who_reads_the_file_reads_it_again_after_a_change_and_after_its_undo() {
    let scene = Scene::quick("cp etc/app.conf loaded; echo x >> times; cat etc/app.conf");
    scene.change().await.unwrap();
    assert_eq!((scene.read("etc/app.conf"), scene.read("loaded")), (NEW.to_owned(), NEW.to_owned()));
    scene.put_back().await.unwrap();
    assert_eq!((scene.read("etc/app.conf"), scene.read("loaded")), (OLD.to_owned(), OLD.to_owned()));
    // The host was killed before it could say so.
    fs::write(scene.path("loaded"), NEW).unwrap();
    assert_eq!(scene.followed().tell_again().await, Ok(true));
    assert_eq!((scene.read("loaded").as_str(), scene.read("times").as_str()), (OLD, "x\nx\nx\n"));
    // What was not touched is nothing to read again.
    scene.put_back().await.unwrap_err();
    assert_eq!(scene.read("times"), "x\nx\nx\n");
    let nobody = Followed { reloads: Vec::new(), ..scene.followed() };
    assert_eq!(nobody.tell_again().await, Ok(false));
}

#[tokio::test]
async fn a_file_that_is_made_or_removed_is_followed_too() {
    let scene = Scene::quick("ls etc > loaded");
    let (absent, old) = (Node::Absent, scene.with(OLD));
    let step = async |from: &Node, to: &Node| {
        let like = from.likeness();
        scene.followed().change(Expected { like: &like, thing: None, within: None }, to, None).await.unwrap();
        scene.read("loaded")
    };
    assert_eq!(step(&old, &absent).await, "");
    assert_eq!(step(&absent, &old).await, "app.conf\n");
}

#[tokio::test]
async fn of_a_change_that_nobody_could_be_told_of_nothing_is_left() {
    // It accepts what was there before, and nothing else.
    let scene = Scene::quick(
        "cat etc/app.conf; grep -q old etc/app.conf || exit 3; cp etc/app.conf loaded; echo x >> times",
    );
    let before = snapshot(&scene.root, "app.conf").unwrap().node;
    let failure = scene.change().await.unwrap_err();
    assert!(matches!(failure, Failure::Denied(_)), "{failure}");
    says(&failure, &["file:etc/app.conf", "/bin/sh ended with exit status: 3", "back as it was", "reloaded"]);
    assert_eq!(snapshot(&scene.root, "app.conf").unwrap().node, before);
    assert_eq!((scene.read("loaded").as_str(), scene.read("times").as_str()), (OLD, "x\n"));
    // Where the one was told and the other was not, both are told again.
    let two = ["cp etc/app.conf loaded; echo 1 >> times", "echo 2 >> times; grep -q old etc/app.conf"];
    let scene = Scene::set(&two, SignedDuration::from_secs(20));
    assert!(scene.change().await.unwrap_err().is_definite());
    assert_eq!((scene.read("loaded").as_str(), scene.read("times").as_str()), (OLD, "1\n2\n1\n2\n"));
}

#[tokio::test]
async fn where_it_is_not_known_what_is_read_it_is_in_doubt() {
    let scene = Scene::quick("cat etc/app.conf; exit 1");
    let failure = scene.change().await.unwrap_err();
    assert!(!failure.is_definite());
    says(&failure, &["exit status: 1", "back as it was, but", "may still use the other content"]);
    assert_eq!(scene.read("etc/app.conf"), OLD);
    let failure = scene.followed().tell_again().await.unwrap_err();
    says(&failure, &["back as it was, but", "may still use the other content", "`remit revert`"]);
    // An undo that nobody could be told of has put the file back, and is not done.
    fs::write(scene.path("etc/app.conf"), NEW).unwrap();
    let failure = scene.put_back().await.unwrap_err();
    assert!(matches!(failure, Failure::Unavailable(_)), "{failure}");
    says(&failure, &["exit status: 1", "back as it was, but", "`remit revert`"]);
    assert_eq!(scene.read("etc/app.conf"), OLD);
}

#[tokio::test]
async fn what_somebody_else_writes_meanwhile_stays() {
    let scene = Scene::quick("echo theirs > etc/app.conf; exit 1");
    let failure = scene.change().await.unwrap_err();
    assert!(!failure.is_definite());
    says(&failure, &["exit status: 1", "could not be put back"]);
    assert_eq!(scene.read("etc/app.conf"), "theirs\n");
}

#[tokio::test]
async fn what_hangs_is_ended_with_its_children() {
    let hangs = "grep -q old etc/app.conf && exit; sleep 300 & echo $! > child; wait";
    let scene = Scene::set(&[hangs], SignedDuration::from_secs(1));
    let since = Instant::now();
    let failure = scene.change().await.unwrap_err();
    assert!(failure.is_definite() && since.elapsed() < Duration::from_secs(15));
    says(&failure, &["/bin/sh failed: it took longer than 1s, and was ended"]);
    let child = PathBuf::from(format!("/proc/{}/exe", scene.read("child").trim()));
    while child.exists() {
        assert!(since.elapsed() < Duration::from_secs(15), "its child lives on");
    }
    // A child that keeps everything open, and a flood, keep nobody waiting.
    let scene = Scene::quick("sleep 20 & head -c 30000000 /dev/zero");
    scene.change().await.unwrap();
    assert!(since.elapsed() < Duration::from_secs(15));
}

#[tokio::test]
async fn a_run_without_time_left_begins_nothing_and_takes_back_what_it_changed() {
    let scene = Scene::quick("echo x >> times; grep -q old etc/app.conf || sleep 300");
    let (from, to) = (scene.with(OLD).likeness(), scene.with(NEW));
    let change = async |until| {
        let expected = Expected { like: &from, thing: None, within: None };
        scene.followed().change(expected, &to, Some(until)).await.unwrap_err()
    };
    let failure = change(Instant::now()).await;
    assert!(failure.is_definite());
    says(&failure, &["was not run: the run has no time left"]);
    assert_eq!((scene.read("etc/app.conf").as_str(), scene.read("times").as_str()), (OLD, "x\n"));
    let failure = change(Instant::now() + Duration::from_secs(1)).await;
    assert!(failure.is_definite());
    says(&failure, &["was ended with the run"]);
    assert_eq!((scene.read("etc/app.conf").as_str(), scene.read("times").as_str()), (OLD, "x\nx\nx\n"));
}

#[tokio::test]
async fn a_program_that_is_gone_is_told_as_that() {
    let mut scene = Scene::quick("true");
    scene.reloads[0].command[0] = "/no/such/program".to_owned();
    let failure = scene.change().await.unwrap_err();
    says(&failure, &["/no/such/program cannot be run: No such file"]);
    assert_eq!(scene.read("etc/app.conf"), OLD);
}

/// The entry of a directory with these lines below its `[[files.reload]]`.
fn configured(folder: &Path, lines: &str) -> Result<Files, String> {
    let text = format!("[[files]]\nname = 'etc'\npath = '{}'\n[[files.reload]]\n{lines}", folder.display());
    let entries = Files::entries(&mut Table::parse(&text).unwrap()).map_err(|mistake| mistake.to_string())?;
    Files::open(&entries, Path::new("/no/such/home")).map_err(|error| error.to_string())
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_a_program_that_is_not_there_is_told() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let script = elsewhere.path().join("reload");
    fs::write(&script, "#!/bin/sh\n").unwrap();
    let command = format!("file = 'app.conf'\ncommand = ['{}']", script.display());
    for (mode, told) in [(0o644, "ermission denied"), (0o777, "others can write it (mode 0777)"), (0o755, "")]
    {
        fs::set_permissions(&script, fs::Permissions::from_mode(mode)).unwrap();
        let checked = configured(folder.path(), &command).unwrap().check().await;
        assert_eq!(checked[1].what, "files.reload etc/app.conf");
        match &checked[1].found {
            Ok(found) => assert!(told.is_empty() && found.ends_with("/reload"), "{found}"),
            Err(trouble) => assert!(!told.is_empty() && trouble.why.contains(told), "{trouble:?}"),
        }
    }
    // A run could write what the host then runs.
    for inside in [folder.path().join("no/such"), elsewhere.path().join("link")] {
        if inside.ends_with("link") {
            fs::write(folder.path().join("program"), "").unwrap();
            std::os::unix::fs::symlink(folder.path().join("program"), &inside).unwrap();
        }
        let why = configured(folder.path(), &format!("file = 'a'\ncommand = ['{}']", inside.display()))
            .unwrap_err();
        assert!(why.contains("the program lies in the directory of `etc`"), "{why}");
    }
    for (lines, told) in [
        ("file = 'a'\ncommand = []", "`reload.command` is not usable: it is empty"),
        ("file = 'a'\ncommand = ['systemctl']", "`systemctl` is not the absolute path of a program"),
        ("file = 'a'\ncommand = ['/bin/a', \"b\\nc\"]", "a control character"),
        ("file = '../a'\ncommand = ['/bin/a']", "`../a` is no path below the directory"),
        ("file = '/etc/a'\ncommand = ['/bin/a']", "`/etc/a` is no path below the directory"),
        ("file = ''\ncommand = ['/bin/a']", "`` is no path below the directory"),
        ("file = 'a*'\ncommand = ['/bin/a']", "`a*` is no path below the directory"),
        (
            "file = 'a'\ncommand = ['/bin/a']\ntimeout = '0s'",
            "`reload.timeout` is not usable: it must be more",
        ),
        ("file = 'a'\ncommand = ['/bin/a']\ntimeout = '2m'", "at most one minute"),
        (
            "file = 'a'\ncommand = ['/bin/a']\nuser = 'x'",
            "a [[files.reload]] has no key `user`; it has `file`",
        ),
        ("file = 'a'", "missing field `command`"),
        ("file = 'a'\ncommand = '/bin/a'", "expected a sequence"),
    ] {
        let why = configured(folder.path(), lines).unwrap_err();
        assert!(why.contains(told), "{lines}: {why}");
    }
}

#[test]
fn commands_that_differ_are_shown_in_different_words() {
    let show = |words: &[&str]| shown(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
    assert_eq!(show(&["/bin/kill", "-HUP", "7"]), "/bin/kill -HUP 7");
    assert_eq!(show(&["/bin/sh", "-c", "a \"b\"", ""]), r#"/bin/sh -c "a \"b\"" """#);
}

#[test]
fn a_pattern_is_of_its_own_directory() {
    let config = |file: &str| ReloadConfig {
        file: file.to_owned(),
        command: vec!["/bin/true".to_owned()],
        timeout: default_timeout(),
    };
    let is_for = |file: &str, path: &str| {
        Reload::new("etc", &config(file)).unwrap().is_for(&Resource::new(KIND, path).unwrap())
    };
    assert!(
        is_for("a.conf", "etc/a.conf") && !is_for("a.conf", "etc/b.conf") && !is_for("a.conf", "opt/a.conf")
    );
    assert!(
        is_for("conf.d/*", "etc/conf.d/x")
            && !is_for("conf.d/*", "etc/conf.d/x/y")
            && is_for("**", "etc/a/b")
    );
    let files = FilesConfig {
        name: "etc".to_owned(),
        path: std::env::temp_dir(),
        reload: vec![config("a"), config("**"), config("b")],
    };
    let mut gone = files.clone();
    gone.reload[2].command = vec!["/no/such/program".to_owned()];
    let files = Files::open(&[files], Path::new("/no/such/home")).unwrap();
    let gone = Files::open(&[gone], Path::new("/no/such/home")).unwrap();
    let cannot = |path: &str| gone.cannot_reload(&Resource::new(KIND, path).unwrap());
    assert!(cannot("etc/b").is_some_and(|why| why.contains("/no/such/program cannot be run")));
    assert_eq!(cannot("etc/a"), None);
    let words = |path: &str| files.reload_words(&Resource::new(KIND, path).unwrap());
    assert_eq!(words("etc/a").as_deref(), Some("/bin/true; /bin/true"));
    assert_eq!(words("opt/a"), None);
}
