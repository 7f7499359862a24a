//! Finds the installed DPDK, compiles the shim against it, and generates the bindings.

use std::env;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

/// Bindings are written against this release; older ones lack what the shim calls.
const OLDEST: &str = "22.11";

const PACKAGES: &str =
    "on Debian and Ubuntu: apt install libdpdk-dev pkg-config clang libclang-dev";

/// What is linked: the core libraries. EAL loads the poll-mode drivers from its own folder; only
/// `rte_net_ring` is linked by name, for `rte_eth_from_rings`.
const LIBRARIES: [&str; 7] = [
    "rte_net_ring",
    "rte_ethdev",
    "rte_cryptodev",
    "rte_mbuf",
    "rte_mempool",
    "rte_ring",
    "rte_eal",
];

/// What is compiled, and what bindgen reads.
const SHIM: [&str; 4] = ["src/shim.h", "src/shim.c", "src/crypto.h", "src/crypto.c"];

/// Every function that the `dpdk` crate calls, static inline ones as `shim_*`.
const FUNCTIONS: &[&str] = &[
    "shim_.*",
    "rte_strerror",
    "rte_eal_init",
    "rte_eal_cleanup",
    "rte_get_tsc_hz",
    "rte_thread_register",
    "rte_thread_unregister",
    "rte_dev_probe",
    "rte_dev_remove",
    "rte_eal_hotplug_remove",
    "rte_eth_iterator_(init|next|cleanup)",
    "rte_eth_dev_owner_(new|set)",
    "rte_eth_dev_info_get",
    "rte_eth_dev_get_name_by_port",
    "rte_eth_dev_socket_id",
    "rte_eth_dev_configure",
    "rte_eth_dev_adjust_nb_rx_tx_desc",
    "rte_eth_(rx|tx)_queue_setup",
    "rte_eth_dev_(start|stop|close)",
    "rte_eth_promiscuous_enable",
    "rte_eth_allmulticast_enable",
    "rte_eth_macaddr_get",
    "rte_eth_link_get_nowait",
    "rte_eth_stats_(get|reset)",
    "rte_eth_from_rings",
    "rte_pktmbuf_clone",
    "rte_mempool_free",
    "rte_mempool_(in_use|avail)_count",
    "rte_ring_(create|free|lookup)",
    "rte_dev_name",
    "rte_cryptodev_(is_valid_dev|info_get|socket_id)",
    "rte_cryptodev_(configure|queue_pair_setup|start|stop|close)",
    "rte_cryptodev_sym_get_private_session_size",
    "rte_cryptodev_sym_session_(pool_create|free)",
    // Tests only: a driver that fails, or keeps no order.
    "rte_cryptodev_add_(enq|deq)_callback",
];

const CONSTANTS: &[&str] = &[
    "SHIM_.*",
    "LCORE_ID_ANY",
    "SOCKET_ID_ANY",
    "RTE_PKTMBUF_HEADROOM",
    "RTE_MEMPOOL_CACHE_MAX_SIZE",
    "RTE_ETH_NAME_MAX_LEN",
];

fn main() {
    for file in SHIM {
        println!("cargo:rerun-if-changed={file}");
    }
    println!("cargo:rerun-if-env-changed=PKG_CONFIG_PATH");

    let library = pkg_config::Config::new()
        .atleast_version(OLDEST)
        .cargo_metadata(false)
        .probe("libdpdk")
        .unwrap_or_else(|error| fail(&format!("DPDK {OLDEST} or newer was not found: {error}")));
    let flags = compiler_flags();

    let mut shim = cc::Build::new();
    shim.files(SHIM.iter().filter(|file| file.ends_with(".c")));
    shim.warnings(true).extra_warnings(true);
    for flag in &flags {
        shim.flag(flag);
    }
    // DPDK's own headers are not clean under -Wextra.
    shim.flag("-Werror=implicit-function-declaration");
    shim.flag("-Wno-unused-parameter").flag("-Wno-deprecated-declarations");
    shim.compile("greyhound_dpdk_shim");

    for path in &library.link_paths {
        println!("cargo:rustc-link-search=native={}", path.display());
    }
    for name in LIBRARIES {
        println!("cargo:rustc-link-lib=dylib={name}");
    }

    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_else(|| fail("OUT_DIR is not set")));
    generate(&flags, &out.join("bindings.rs"));
}

/// All of `pkg-config --cflags`: the crate reports include paths only, and DPDK's inline code
/// needs `-include rte_config.h` and the `-march` that the libraries were built for.
fn compiler_flags() -> Vec<String> {
    let pkg_config = env::var_os("PKG_CONFIG").unwrap_or_else(|| "pkg-config".into());
    let output = Command::new(pkg_config).args(["--cflags", "libdpdk"]).output();
    match output {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).split_whitespace().map(Into::into).collect()
        }
        Ok(output) => fail(&format!("pkg-config: {}", String::from_utf8_lossy(&output.stderr))),
        Err(error) => fail(&format!("pkg-config: {error}")),
    }
}

fn generate(flags: &[String], to: &Path) {
    let mut builder = bindgen::builder()
        .headers(SHIM.iter().copied().filter(|file| file.ends_with(".h")))
        .clang_args(flags)
        .layout_tests(true)
        .derive_default(true)
        .generate_comments(false)
        .generate_cstr(true)
        .merge_extern_blocks(true)
        // Only ever handled by pointer.
        .opaque_type("rte_mempool|rte_ring|rte_device|rte_eth_dev|rte_class|rte_bus|rte_devargs")
        // Only the C side looks into these.
        .opaque_type("rte_crypto_op|rte_crypto_sym_op|rte_cryptodev_capabilities")
        // rustc rejects a packed type that holds an aligned one (E0588).
        .opaque_type("rte_arp_.*|rte_gtp_.*|rte_l2tpv2_.*");
    for name in FUNCTIONS {
        builder = builder.allowlist_function(name);
    }
    for name in CONSTANTS {
        builder = builder.allowlist_var(name);
    }
    // libclang is loaded at run time; when it is missing, bindgen panics.
    let generated = std::panic::catch_unwind(AssertUnwindSafe(|| builder.generate()));
    let Ok(Ok(bindings)) = generated else {
        fail("bindgen could not read DPDK's headers (is libclang there?)");
    };
    if let Err(error) = bindings.write_to_file(to) {
        fail(&format!("{}: {error}", to.display()));
    }
}

fn fail(message: &str) -> ! {
    println!("cargo:warning=dpdk-sys: {message}");
    println!("cargo:warning=dpdk-sys: {PACKAGES}");
    eprintln!("error: dpdk-sys: {message}\n{PACKAGES}");
    exit(1);
}
