//! The lines of the hostile list that a configuration answers.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{PORTS, errors, parse, shown};
use crate::config::{Config, Severity, read_key_file};

/// A folder that goes away with its owner.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("greyhound-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, contents: impl AsRef<[u8]>, mode: u32) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, contents).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn protected(key_file: &str) -> String {
    format!(
        "{PORTS}\n[[tunnel]]\nname = \"t\"\nmode = \"gre\"\nsource = \"wan\"\n\
         remote = \"203.0.113.7\"\nprotection = \"corp\"\n\
         [[ipsec.profile]]\nname = \"corp\"\nesp = [\"aes128gcm16\"]\n\
         [[ipsec.sa]]\nprofile = \"corp\"\ndirection = \"out\"\nremote = \"203.0.113.7\"\n\
         spi = 0x1000\nkey_file = \"{key_file}\"\n"
    )
}

#[test]
fn configuration_readable_by_group_or_world_refused() {
    let folder = Folder::new("configuration");
    for mode in [0o640, 0o604, 0o620, 0o602, 0o644, 0o666] {
        let path = folder.file("hub.toml", PORTS, mode);
        let found = Config::load(&path).unwrap_err();
        let message = found[0].to_string();
        assert_eq!(found.len(), 1);
        assert!(message.contains(&format!("has mode {mode:03o}")), "{message}");
        assert!(message.ends_with(&format!("run: chmod 600 {}", path.display())), "{message}");
    }
    for mode in [0o600, 0o400] {
        let path = folder.file("hub.toml", PORTS, mode);
        assert!(Config::load(&path).is_ok(), "{mode:o}");
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn key_files_readable_by_group_or_world_refused() {
    let folder = Folder::new("key-file");
    let config = folder.file("hub.toml", protected("sa.key"), 0o600);
    let key = folder.file("sa.key", "000102030405060708090a0b0c0d0e0fdeadbeef\n", 0o640);
    let found = shown(&Config::load(&config).unwrap_err());
    let expected = format!(
        "ipsec.sa[0].key_file: {0} has mode 640: its group can read it; run: chmod 600 {0}",
        key.display()
    );
    assert!(found.iter().any(|line| line.contains(&expected)), "{found:#?}");
    folder.file("sa.key", "000102030405060708090a0b0c0d0e0fdeadbeef\n", 0o600);
    let config = Config::load(&config).unwrap();
    assert_eq!(config.sas[0].key.salt(), [0xde, 0xad, 0xbe, 0xef]);
}

#[test]
fn what_is_no_file_or_too_long_or_no_text_is_refused() {
    let folder = Folder::new("no-file");
    let message = |path: &Path| Config::load(path).unwrap_err()[0].to_string();
    assert!(message(&folder.0).contains("is not a regular file"));
    assert!(message(&folder.0.join("absent.toml")).contains("cannot read"));
    let path = folder.file("latin1.toml", b"# first line\n# caf\xe9\n", 0o600);
    assert_eq!(message(&path), format!("{}:2:6: the text is not UTF-8 from here", path.display()));
    let path = folder.file("long.key", [b' '; 513], 0o600);
    let error = read_key_file(&path).unwrap_err().to_string();
    assert!(error.ends_with("is longer than 512 octets"), "{error}");
    assert!(read_key_file(Path::new("/dev/zero")).is_err());
}

#[test]
fn secrets_in_no_debug_output_and_no_error() {
    const DIGITS: &str = "5ec2e75ec2e75ec2e75ec2e75ec2e75ec2e7beef";
    let folder = Folder::new("secrets");
    let path = folder.file("hub.toml", protected("sa.key"), 0o600);
    let load = |key: &str| {
        folder.file("sa.key", key, 0o600);
        match Config::load(&path) {
            Ok(config) => format!("{config:?} {config:#?}"),
            Err(found) => format!("{found:?} {}", shown(&found).join("\n")),
        }
    };
    let in_place = protected(DIGITS);
    let as_key = protected("x").replace("key_file = \"x\"", &format!("key = \"{DIGITS}\""));
    let outputs = [
        load(DIGITS),
        load(&DIGITS[1..]),
        load(&DIGITS[2..]),
        load(&format!("{DIGITS}!")),
        format!("{:?}", parse(&in_place)),
        format!("{:?}", parse(&as_key)),
    ];
    for output in outputs {
        let lower = output.to_lowercase();
        assert!(!lower.contains("5ec2e7") && !lower.contains("94, 194, 231"), "{output}");
    }
}

#[test]
fn a_password_of_nhrp_is_not_shown() {
    let text = |password: &str| {
        format!(
            "{PORTS}\n[[tunnel]]\nname = \"t\"\nmode = \"mgre\"\nsource = \"wan\"\n\
             [tunnel.nhrp]\nauthentication = {password}\n"
        )
    };
    let found = only_error(&text("\"s3cret-and-more\""));
    assert!(found.contains("nhrp.authentication: an NHRP password has 1 to 8 octets"), "{found}");
    let wrong_type = only_error(&text("[\"s3cret\"]"));
    let config = format!("{:?}", parse(&text("\"s3cret\"")).unwrap());
    assert!([found, wrong_type, config].iter().all(|output| !output.contains("s3cret")));
}

/// The one error that `text` has, as it is shown.
fn only_error(text: &str) -> String {
    let result = parse(text);
    let found = errors(&result);
    assert_eq!(found.len(), 1, "{found:#?}");
    found[0].to_string()
}

#[test]
fn configuration_with_an_unknown_key() {
    assert_eq!(
        only_error(&format!("{PORTS}directed_brodcast = true\n")),
        "/etc/greyhound/hub.toml:14:1: port[1].directed_brodcast: unknown key (did you mean \
         \"directed_broadcast\"?)"
    );
}

#[test]
fn configuration_with_a_wrong_type() {
    assert_eq!(
        only_error(&format!("{PORTS}mtu = \"big\"\n")),
        "/etc/greyhound/hub.toml:14:7: port[1].mtu: expected an integer, found a string"
    );
}

#[test]
fn configuration_with_overlapping_ports() {
    let lan2 = "[[port]]\nname = \"lan2\"\ndevice = \"net_null2\"\nrole = \"overlay\"\n\
                addresses = [\"10.1.0.129/25\"]\n";
    assert_eq!(
        only_error(&format!("{PORTS}{lan2}")),
        "/etc/greyhound/hub.toml:18:14: port[2].addresses[0]: 10.1.0.128/25 overlaps with \
         10.1.0.0/24 of \"lan\""
    );
}

#[test]
fn configuration_with_a_missing_device() {
    let found = only_error(&PORTS.replace("device = \"net_null0\"\n", ""));
    assert_eq!(
        found,
        "/etc/greyhound/hub.toml:2:1: port[0]: \"device\" is missing, or \"parent\" and \"vlan\""
    );
    // One that is only found missing when ports are opened.
    let config = parse(PORTS).unwrap();
    let diagnostic = config.error_at("port[1].device", "no such device");
    assert_eq!(diagnostic.severity, Severity::Error);
    assert_eq!(
        diagnostic.to_string(),
        "/etc/greyhound/hub.toml:11:10: port[1].device: no such device"
    );
}
