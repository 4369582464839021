//! packaging/fencing/nfs-server, with a tree of files in the place of an NFS server: `exportfs` is a script that keeps what it
//! was told, and a client that is expired is a directory that goes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tempfile::TempDir;

const CONFIG: &str = "\
# path options
export /srv/metadata rw,sync,no_root_squash
node node-a 10.0.0.11 a.example
node node-b 10.0.0.12
";

struct Server {
    root: TempDir,
    over: Arc<AtomicBool>,
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/fencing/nfs-server")
}

fn executable(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

impl Server {
    fn new() -> Self {
        let root = TempDir::new().unwrap();
        let at = |path: &str| root.path().join(path);
        fs::create_dir_all(at("etc/primacy")).unwrap();
        fs::create_dir_all(at("proc/fs/nfsd/clients")).unwrap();
        fs::write(at("etc/primacy/nfs-fence.conf"), CONFIG).unwrap();
        let exportfs = format!(
            "#!/bin/sh\ncd {}\ncase $1 in\n-r) cat etc/exports etc/exports.d/*.exports > etab 2>/dev/null; [ ! -e full ] || : > etab;;\n-s) cat etab;;\nesac\ntrue\n",
            root.path().display()
        );
        executable(&at("bin/exportfs"), &exportfs);
        // Keeps what it was told, and fails if that is wanted; what counts as a mount point is a file, too.
        let here = root.path().display();
        executable(
            &at("bin/sync"),
            &format!("#!/bin/sh\n[ ! -e {here}/broken ] || exit 1\necho \"$*\" >> {here}/synced\n"),
        );
        executable(&at("bin/mountpoint"), &format!("#!/bin/sh\n[ -e {here}/mounted ]\n"));
        let server = Self { root, over: Arc::default() };
        assert!(server.run(&["install"]).status.success());
        server
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn command(&self, options: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command.arg(scripts().join("primacy-nfs-fence")).arg("--root").arg(self.root.path()).args(options);
        command.env_remove("SSH_ORIGINAL_COMMAND");
        command
    }

    fn run(&self, request: &[&str]) -> Output {
        self.command(request).output().unwrap()
    }

    /// As sshd runs it for a key with this forced command.
    fn asked(&self, only: &str, request: &str) -> Output {
        self.command(&["--only", only]).env("SSH_ORIGINAL_COMMAND", request).output().unwrap()
    }

    /// A client of the kernel's, which goes when it is expired.
    fn client(&self, number: u32, address: &str, name: &str) {
        let path = self.at(&format!("proc/fs/nfsd/clients/{number}"));
        fs::create_dir(&path).unwrap();
        let info = format!("clientid: 0x6\naddress: \"{address}\"\nstatus: courtesy\nname: \"{name}\"\n");
        fs::write(path.join("info"), info).unwrap();
        let over = self.over.clone();
        std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                if fs::read_to_string(path.join("ctl")).is_ok_and(|text| text == "expire\n") {
                    fs::remove_dir_all(&path).unwrap();
                    return;
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        });
    }

    fn has_client(&self, number: u32) -> bool {
        self.at(&format!("proc/fs/nfsd/clients/{number}")).exists()
    }

    /// To whom the volume is exported.
    fn exported(&self) -> Vec<String> {
        let etab = fs::read_to_string(self.at("etab")).unwrap();
        etab.lines().map(|line| line.split_ascii_whitespace().nth(1).unwrap().to_owned()).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

const A: &str = "10.0.0.11(rw,sync,no_root_squash)";
const B: &str = "10.0.0.12(rw,sync,no_root_squash)";

#[track_caller]
fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[track_caller]
fn failed(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_fenced_node_loses_its_export_and_its_clients_and_nobody_else_does() {
    let server = Server::new();
    assert_eq!(server.exported(), [A, B]);
    server.client(3, "10.0.0.11:918", "Linux NFSv4.2 elsewhere");
    server.client(4, "10.0.0.111:918", "Linux NFSv4.2 xa.example");
    server.client(5, "10.9.9.9:700", "Linux NFSv4.2 uniq/a.example");
    server.client(6, "10.0.0.12:700", "Linux NFSv4.2 node-b");
    let said = succeeded(&server.asked("fence", "fence node-a 7"));
    assert_eq!(said, "fenced node-a (10.0.0.11): not exported to it, 2 of its clients expired\n");
    assert_eq!(server.exported(), [B]);
    assert_eq!([3, 4, 5, 6].map(|number| server.has_client(number)), [false, true, false, true]);
    // Again, and after a restart of the server, which reads the exports anew.
    assert!(succeeded(&server.asked("fence", "fence node-a 7")).contains("0 of its clients"));
    assert!(succeeded(&server.run(&["status"])).contains("node-a 10.0.0.11 fenced boot=unknown epoch=7"));
    assert_eq!(server.exported(), [B]);
}

#[test]
fn only_a_boot_after_the_fencing_gives_the_access_back() {
    let server = Server::new();
    let register = |boot: &str| server.asked("register:node-a", &format!("register node-a {boot}"));
    assert_eq!(succeeded(&register("boot-1")), "node-a is not fenced\n");
    succeeded(&server.asked("fence", "fence node-a 7"));
    assert!(failed(&register("boot-1"), 3).contains("reboot it"));
    assert_eq!(server.exported(), [B]);
    assert_eq!(succeeded(&register("boot-2")), "node-a is no longer fenced\n");
    assert_eq!(server.exported(), [A, B]);
    // Fenced again, this time by hand given back.
    succeeded(&server.asked("fence", "fence node-a 9"));
    assert!(failed(&register("boot-2"), 3).contains("unfence node-a"));
    succeeded(&server.run(&["unfence", "node-a"]));
    assert_eq!(server.exported(), [A, B]);
}

#[test]
fn a_node_that_never_registered_is_given_back_by_hand_only() {
    let server = Server::new();
    succeeded(&server.asked("fence", "fence node-b 1"));
    failed(&server.asked("register:node-b", "register node-b boot-1"), 3);
    succeeded(&server.run(&["unfence", "node-b"]));
    assert_eq!(server.exported(), [A, B]);
}

#[test]
fn an_export_that_would_let_the_host_in_all_the_same_fails_the_fencing() {
    let server = Server::new();
    fs::write(server.at("etc/exports"), "/srv/metadata 10.0.0.0/24(rw)\n").unwrap();
    let problem = failed(&server.asked("fence", "fence node-a 7"), 1);
    assert!(problem.contains("/srv/metadata is also exported to 10.0.0.0/24"), "{problem}");
}

/// exportfs cannot write its table, does not notice, and nobody is let in: neither the fenced host nor its successor.
#[test]
fn exports_that_are_lost_on_a_full_disk_fail_the_fencing() {
    let server = Server::new();
    fs::write(server.at("full"), "").unwrap();
    let problem = failed(&server.asked("fence", "fence node-a 7"), 1);
    assert!(problem.contains("/srv/metadata is not exported to node-b (10.0.0.12)"), "{problem}");
    fs::remove_file(server.at("full")).unwrap();
    succeeded(&server.asked("fence", "fence node-a 7"));
    assert_eq!(server.exported(), [B]);
}

/// Whoever may use a directory above the volume, or one in it, is not kept out of the volume.
#[test]
fn an_export_above_or_below_that_lets_the_host_in_fails_the_fencing() {
    for (exports, mounted, problem) in [
        ("/srv 10.0.0.11(rw,crossmnt)", true, Some("still exported to 10.0.0.11, by /srv")),
        ("/srv *(rw,crossmnt,fsid=0)", true, Some("also exported to *, by /srv")),
        ("/ *(rw,crossmnt)", true, Some("by /")),
        ("/srv *(ro,fsid=0)", false, Some("also exported to *, by /srv")),
        ("/srv/metadata/inner *(rw)", true, Some("by /srv/metadata/inner")),
        // Another file system is mounted there, and the export ends at its edge.
        ("/srv *(ro,fsid=0)", true, None),
        ("/srv/met *(rw,crossmnt)", false, None),
        ("/srv/metadata-of-others *(rw,crossmnt)", false, None),
        ("/srv 10.0.0.12(rw,crossmnt)", true, None),
    ] {
        let server = Server::new();
        if mounted {
            fs::write(server.at("mounted"), "").unwrap();
        }
        fs::write(server.at("etc/exports"), format!("{exports}\n")).unwrap();
        let output = server.asked("fence", "fence node-a 7");
        match problem {
            Some(problem) => assert!(failed(&output, 1).contains(problem), "{exports}: {output:?}"),
            None => assert!(succeeded(&output).starts_with("fenced node-a"), "{exports}"),
        }
    }
}

#[test]
fn access_that_could_not_be_given_back_is_given_back_when_asked_again() {
    let server = Server::new();
    let register = |boot: &str| server.asked("register:node-a", &format!("register node-a {boot}"));
    succeeded(&register("boot-1"));
    succeeded(&server.asked("fence", "fence node-a 7"));
    fs::write(server.at("full"), "").unwrap();
    for _ in 0..2 {
        failed(&register("boot-2"), 1);
    }
    assert_eq!(server.exported(), [""; 0]);
    assert!(succeeded(&server.run(&["status"])).contains("unfence it once more"));
    fs::remove_file(server.at("full")).unwrap();
    assert_eq!(succeeded(&register("boot-2")), "node-a is no longer fenced\n");
    assert_eq!(server.exported(), [A, B]);
    assert_eq!(succeeded(&register("boot-2")), "node-a is not fenced\n");
    // By hand, too; and a fencing in between counts.
    succeeded(&server.asked("fence", "fence node-a 8"));
    fs::write(server.at("full"), "").unwrap();
    failed(&server.run(&["unfence", "node-a"]), 1);
    fs::remove_file(server.at("full")).unwrap();
    succeeded(&server.asked("fence", "fence node-a 9"));
    assert_eq!(server.exported(), [B]);
    failed(&register("boot-2"), 3);
    succeeded(&server.run(&["unfence", "node-a"]));
    assert_eq!(server.exported(), [A, B]);
}

#[test]
fn a_mark_outlives_a_power_cut_of_the_server_or_the_fencing_fails() {
    let server = Server::new();
    let synced = || fs::read_to_string(server.at("synced")).unwrap_or_default();
    let state = server.at("var/lib/primacy-nfs-fence");
    fs::remove_file(server.at("synced")).unwrap();
    succeeded(&server.asked("fence", "fence node-a 7"));
    let lines = synced();
    let lines: Vec<&str> = lines.lines().collect();
    // The mark, then its name in the directory, before anything else.
    assert_eq!(lines[..2], [state.join("node-a.fenced.new").to_str().unwrap(), state.to_str().unwrap()]);
    assert!(lines.contains(&server.at("etc/exports.d").to_str().unwrap()), "{lines:?}");
    succeeded(&server.run(&["unfence", "node-a"]));
    fs::write(server.at("broken"), "").unwrap();
    assert!(failed(&server.asked("fence", "fence node-a 8"), 1).contains("could not be made durable"));
}

#[test]
fn a_mark_that_was_cut_short_still_says_that_the_node_is_fenced() {
    let server = Server::new();
    let register = |boot: &str| server.asked("register:node-a", &format!("register node-a {boot}"));
    succeeded(&register("boot-1"));
    succeeded(&server.asked("fence", "fence node-a 7"));
    for content in ["", "bo", "boot=\n"] {
        fs::write(server.at("var/lib/primacy-nfs-fence/node-a.fenced"), content).unwrap();
        failed(&register("boot-2"), 3);
    }
    assert_eq!(server.exported(), [B]);
}

/// The machine behind a name was replaced: the old one may still write, and the new one must not cut itself off.
#[test]
fn the_machine_that_had_this_name_before_is_fenced_by_its_own_address_or_not_at_all() {
    let server = Server::new();
    let register = |boot: &str| succeeded(&server.asked("register:node-a", &format!("register node-a {boot}")));
    let fence = |former: &str, own: &str| server.asked("fence", &format!("fence-former node-a 7 {former} {own}"));
    register("old");
    // Another machine takes its place, with another address.
    let moved = CONFIG.replace("10.0.0.11", "10.0.0.21");
    fs::write(server.at("etc/primacy/nfs-fence.conf"), &moved).unwrap();
    assert!(failed(&fence("old", "new"), 1).contains("has not registered this boot"));
    register("new");
    server.client(3, "10.0.0.11:918", "Linux NFSv4.2 a.example");
    server.client(4, "10.0.0.21:918", "Linux NFSv4.2 a.example");
    let said = succeeded(&fence("old", "new"));
    assert_eq!(said, "fenced the former node-a (10.0.0.11): not exported to it, 1 of its clients expired\n");
    assert_eq!([3, 4].map(|number| server.has_client(number)), [false, true], "the present one keeps its client");
    assert_eq!(server.exported(), ["10.0.0.21(rw,sync,no_root_squash)", B]);
    fs::write(server.at("etc/exports"), "/srv/metadata 10.0.0.11(rw)\n").unwrap();
    assert!(failed(&fence("old", "new"), 1).contains("still exported to 10.0.0.11"));
    fs::write(server.at("etc/exports"), "").unwrap();

    // With the same address nobody can tell them apart; nor can anybody who has not been seen.
    assert!(failed(&fence("unseen", "new"), 1).contains("never registered"));
    register("newer");
    let problem = failed(&fence("new", "newer"), 1);
    assert!(problem.contains("primacy-nfs-fence gone node-a new"), "{problem}");
    assert!(failed(&server.asked("fence", "gone node-a new"), 2).contains("this key may only"));
    succeeded(&server.run(&["gone", "node-a", "new"]));
    assert!(succeeded(&fence("new", "newer")).contains("off for good"));
    failed(&fence("newer", "newer"), 1);
    assert!(failed(&server.run(&["gone", "node-a", "newer"]), 1).contains("registered last"));
}

#[test]
fn clients_that_do_not_go_fail_the_fencing_in_bounded_time() {
    let server = Server::new();
    let path = server.at("proc/fs/nfsd/clients/3");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("info"), "address: \"10.0.0.11:918\"\n").unwrap();
    let problem = failed(&server.asked("fence", "fence node-a 7"), 1);
    assert!(problem.contains("clients of node-a are still there"), "{problem}");
}

#[test]
fn a_key_may_do_what_it_is_for_and_nothing_of_a_request_is_run() {
    let server = Server::new();
    let touched = server.at("touched");
    for (only, request, words) in [
        ("fence", "unfence node-a".to_owned(), "this key may only"),
        ("fence", "register node-a b".to_owned(), "this key may only"),
        ("register:node-a", "register node-b b".to_owned(), "this key may only"),
        ("register:node-a", "fence node-b 7".to_owned(), "this key may only"),
        ("fence", format!("fence node-a 7; touch {}", touched.display()), "only plain words"),
        ("fence", format!("fence $(touch {})", touched.display()), "only plain words"),
        ("fence", "fence ../../etc 7".to_owned(), "only plain words"),
        ("fence", "fence --root 7".to_owned(), "fence NODE"),
        ("fence", "fence node-a x".to_owned(), "number"),
        ("fence", String::new(), "nothing asked for"),
    ] {
        let said = failed(&server.asked(only, &request), 2);
        assert!(said.contains(words), "{request}: {said}");
    }
    assert!(failed(&server.asked("fence", "fence node-c 7"), 1).contains("node-c is not in"));
    assert!(!touched.exists());
    assert_eq!(server.exported(), [A, B]);
}

#[test]
fn a_request_from_the_past_fences_nobody() {
    let server = Server::new();
    succeeded(&server.asked("fence", "fence node-a 9"));
    succeeded(&server.run(&["unfence", "node-a"]));
    assert!(failed(&server.asked("fence", "fence node-a 7"), 1).contains("from the past"));
    assert_eq!(server.exported(), [A, B]);
}

#[test]
fn the_nodes_ends_ask_for_what_the_server_understands() {
    let server = Server::new();
    // Stands in for ssh and sshd: the last words are the request.
    let ssh = format!(
        "#!/bin/sh\nwhile [ \"$1\" != -- ]; do shift; done\n[ \"$2\" = fence@server ] || exit 9\nshift 2\n\
         case $1 in fence*) only=fence;; *) only=register:node-a;; esac\n\
         SSH_ORIGINAL_COMMAND=\"$*\" exec sh {} --root {} --only $only\n",
        scripts().join("primacy-nfs-fence").display(),
        server.root.path().display()
    );
    let bin = server.at("node-bin");
    executable(&bin.join("ssh"), &ssh);
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let command = |script: &str, arguments: &[&str], former: &str| {
        let mut command = Command::new("sh");
        command.arg(scripts().join(script)).args(arguments).env("PATH", &path);
        command.env("PRIMACY_NODE", "node-b").env("PRIMACY_FORMER_NODE", former).env("PRIMACY_FORMER_EPOCH", "7");
        command
    };
    let node = |script: &str, arguments: &[&str], former: &str| command(script, arguments, former).output().unwrap();
    succeeded(&node("primacy-unfence-nfs", &["fence@server", "node-a"], ""));
    assert!(succeeded(&node("primacy-fence-nfs", &["fence@server"], "node-a")).starts_with("fenced node-a"));
    assert_eq!(server.exported(), [B]);
    // The same boot as before.
    failed(&node("primacy-unfence-nfs", &["fence@server", "node-a"], ""), 3);
    assert!(failed(&node("primacy-fence-nfs", &["fence@server"], "node-b"), 1).contains("does not fence itself"));
    // The host decides: this one under another name, and another one under this name.
    let told = |former: &str, on_this_host: &str| {
        let mut command = command("primacy-fence-nfs", &["fence@server"], former);
        command.env("PRIMACY_FORMER_ON_THIS_HOST", on_this_host);
        command.env("PRIMACY_FORMER_BOOT_ID", "boot-1").env("PRIMACY_BOOT_ID", "boot-2").output().unwrap()
    };
    assert!(failed(&told("node-a", "yes"), 1).contains("does not fence itself"));
    for boot in ["boot-1", "boot-2"] {
        succeeded(&server.asked("register:node-b", &format!("register node-b {boot}")));
    }
    assert!(failed(&told("node-b", "no"), 1).contains("had the address of the present one"));
    succeeded(&server.run(&["gone", "node-b", "boot-1"]));
    succeeded(&told("node-b", "no"));
}
