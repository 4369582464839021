//! A real browser, Debian's Chromium, driven by WebDriver: the few calls that these tests need, over HTTP.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use primacy::clock;
use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::mortal;

/// How long anything may take: several tests share two slow processors.
const LIMIT: Duration = Duration::from_secs(90);

const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// One window. It is closed, and all its processes ended, when this is dropped.
pub struct Browser {
    driver: Child,
    session: String,
    agent: ureq::Agent,
    _profile: TempDir,
}

#[derive(Clone, Debug)]
pub struct Element(String);

/// Whether there is one here.
pub fn is_here() -> bool {
    let here = |program: &str| {
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(|it| it.join(program).exists())
    };
    here("chromium") && here("chromedriver")
}

impl Browser {
    pub fn open(url: &str) -> Self {
        let mut command = mortal::command();
        // A process group of its own: the browser's processes are ended with it.
        command.args(["setsid", "chromedriver", "--port=0"]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut driver = mortal::spawn(command).unwrap();
        let output = BufReader::new(driver.stdout.take().unwrap());
        let (sender, port) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if let Some((_, port)) = line.rsplit_once("successfully on port ") {
                    let _ = sender.send(port.trim_end_matches('.').to_owned());
                }
            }
        });
        let port = port.recv_timeout(LIMIT).expect("chromedriver says its port");
        let profile = TempDir::new().unwrap();
        let config = ureq::Agent::config_builder().timeout_global(Some(LIMIT)).http_status_as_error(false).proxy(None);
        let mut browser = Self {
            driver,
            session: format!("http://127.0.0.1:{port}/session"),
            agent: config.build().new_agent(),
            _profile: profile,
        };
        let profile = format!("--user-data-dir={}", browser._profile.path().display());
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1280,1000",
            "--force-device-scale-factor=1",
            "--no-proxy-server",
            "--disable-lcd-text",
            "--hide-scrollbars",
            &profile,
        ];
        let options = json!({"args": arguments});
        let wanted = json!({"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}, "pageLoadStrategy": "normal"});
        let answer = browser.post("", json!({"capabilities": {"alwaysMatch": wanted}}));
        browser.session += &format!("/{}", answer["sessionId"].as_str().unwrap());
        browser.go(url);
        browser
    }

    /// Calls the driver.
    fn post(&self, path: &str, body: Value) -> Value {
        let url = format!("{}{path}", self.session);
        let mut answer = self.agent.post(&url).send_json(body).unwrap();
        let mut body: Value = answer.body_mut().read_json().unwrap();
        assert!(answer.status().is_success(), "{path}: {body}");
        body["value"].take()
    }

    pub fn go(&self, url: &str) {
        self.post("/url", json!({"url": url}));
    }

    /// What a function with this body gives.
    pub fn js(&self, body: &str) -> Value {
        self.post("/execute/sync", json!({"script": body, "args": []}))
    }

    /// The text of the first element that fits; empty where it does not show.
    pub fn text(&self, selector: &str) -> String {
        let script = "const it = document.querySelector(SELECTOR); return it?.checkVisibility() ? it.innerText : ''";
        let text = self.js(&script.replace("SELECTOR", &json!(selector).to_string()));
        text.as_str().unwrap().trim().to_owned()
    }

    #[track_caller]
    pub fn until<T>(&self, what: &str, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        let began = clock::now();
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            assert!(clock::now().since(began) < LIMIT, "not within {LIMIT:?}: {what}; shown:\n{}", self.text("body"));
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    #[track_caller]
    pub fn until_text(&self, selector: &str, text: &str) {
        self.until(&format!("{selector} shows {text:?}"), |it| it.text(selector).contains(text).then_some(()));
    }

    /// The first that fits and shows, and whose text has `text` in it.
    #[track_caller]
    pub fn find(&self, selector: &str, text: &str) -> Element {
        let script = format!(
            "return [...document.querySelectorAll({})].find((it) => it.innerText.includes({}) && it.checkVisibility()) ?? null",
            json!(selector),
            json!(text)
        );
        self.until(&format!("{selector} with {text:?}"), |it| {
            let found = it.js(&script);
            Some(Element(found.as_object()?.values().next()?.as_str()?.to_owned()))
        })
    }

    pub fn click(&self, element: &Element) {
        self.post(&format!("/element/{}/click", element.0), json!({}));
    }

    /// Into the first that fits.
    pub fn write(&self, selector: &str, text: &str) {
        let element = self.find(selector, "");
        self.post(&format!("/element/{}/value", element.0), json!({"text": text}));
    }

    /// Keys to whatever has the focus; `\u{e004}` is Tab, `\u{e007}` Enter, `\u{e00c}` Escape.
    pub fn press(&self, keys: &str) {
        let actions: Vec<Value> = keys
            .chars()
            .flat_map(|key| [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})])
            .collect();
        self.post("/actions", json!({"actions": [{"type": "key", "id": "keyboard", "actions": actions}]}));
    }

    /// A command of the browser's own protocol.
    fn cdp(&self, command: &str, parameters: Value) -> Value {
        self.post("/goog/cdp/execute", json!({"cmd": command, "params": parameters}))
    }

    pub fn prefer(&self, scheme: &str) {
        self.cdp(
            "Emulation.setEmulatedMedia",
            json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]}),
        );
    }

    pub fn size(&self, width: u32, height: u32) {
        let parameters = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.cdp("Emulation.setDeviceMetricsOverride", parameters);
    }

    /// What the page has complained of since it was last asked.
    pub fn complaints(&self) -> Vec<String> {
        let log = self.post("/se/log", json!({"type": "browser"}));
        let lines = log.as_array().unwrap().iter().filter(|line| line["level"] != "DEBUG" && line["level"] != "INFO");
        lines.map(|line| line["message"].as_str().unwrap().to_owned()).collect()
    }

    /// A picture of the page, where somebody wants one: into the folder `PRIMACY_SCREENSHOTS`.
    pub fn picture(&self, name: &str) {
        let Some(folder) = std::env::var_os("PRIMACY_SCREENSHOTS") else { return };
        let taken = self.cdp("Page.captureScreenshot", json!({"format": "png"}));
        let data = std::path::Path::new(&folder).join(format!("{name}.png.base64"));
        std::fs::write(&data, taken["data"].as_str().unwrap()).unwrap();
        let made = std::process::Command::new("base64").arg("-d").arg(&data).output().unwrap();
        std::fs::write(data.with_extension(""), made.stdout).unwrap();
        std::fs::remove_file(data).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.picture("failed");
        }
        let _ = self.agent.delete(&self.session).call();
        let _ = killpg(Pid::from_raw(self.driver.id().cast_signed()), Signal::SIGKILL);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
