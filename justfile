# The only door: what a person runs and what CI runs. `just` lists the recipes. Each is one line that calls a script or
# cargo, so that a machine without just (PyPI: `pip install rust-just`) can run the same.

# List the recipes.
default:
    @just --list --unsorted

# Install what a fresh Debian with Rust lacks.
install-needs *GROUPS:
    ./scripts/install-needs {{GROUPS}}

# Format the code.
fmt:
    cargo fmt --all

# Format check, import rule and clippy: what a review should not have to say.
check:
    ./scripts/test fmt imports lint

# Clippy, warnings are errors.
lint:
    ./scripts/test lint

# Who may import whom (src/lib.rs).
check-imports:
    ./scripts/test imports

# Everything CI runs; or single stages: `just test unit`.
test *STAGES:
    ./scripts/test {{STAGES}}

# Fuzz what reads the bytes of others; `just fuzz znodes 600` one target for ten minutes (fuzz/README.md).
fuzz TARGET="all" SECONDS="60":
    ./scripts/fuzz {{TARGET}} {{SECONDS}}

# The model checker alone, with its state counts.
model:
    ./scripts/test model

# The same with two faults at once: up to 10 GB and 5 minutes each; two of them take longer than anybody has waited (scripts/test).
model-long:
    ./scripts/test model-long

# What the last runs of the tests have shown, promise by promise, as a page.
evidence:
    ./scripts/evidence --markdown docs/measurements/evidence.md

# All of scripts/test in a bare Debian 12 with Rust and nothing else: that `needs` installs what is needed (root; half an hour).
test-bare *STAGES:
    ./scripts/test-bare {{STAGES}}

# Two candidates and five faults on this machine; `just demo --keep` leaves them up to play with.
demo *ARGS:
    ./scripts/demo {{ARGS}}

# The same drills on Vagrant's machines, from nothing to nothing: box, `vagrant up`, drills (vagrant/README.md).
vagrant-drill *ARGS:
    ./vagrant/box/try {{ARGS}}

# Gap and overlap under faults, next to other supervisors (about 35 minutes); see bench/run --help.
bench *ARGS:
    ./bench/run {{ARGS}}

# Which restarts of ZooKeeper cost the role, against what was left of the lease (about 5 minutes).
bench-restarts *ARGS:
    ./bench/restarts {{ARGS}}

# Three ZooKeeper servers, a session of 40 s, and a follower that dies right after a claim that had waited (2 minutes).
follower-dies:
    PRIMACY_LONG_TESTS=1 cargo nextest run --locked --no-capture --test it -E 'test(a_follower_that_dies_right_after)'

# A standby that is upgraded in place a hundred times (2 minutes).
upgrades:
    PRIMACY_LONG_TESTS=1 cargo nextest run --locked --no-capture --test it -E 'test(one_upgrade_after_another)'
# The build before this version and today's in one cluster, both ways (building the other one takes minutes, once).
mixed-versions:
    ./scripts/build-before
    cargo nextest run --locked --test it -E 'test(mixed::)'

# A cluster in a box, faults from a seed, a verdict (root): `just drill --seed 7 --minutes 30`; see `drill run --help`.
drill *ARGS:
    ./scripts/drill {{ARGS}}

# The drill against a build that is wrong on purpose: the judge must convict it of two coordinators at once.
drill-convicts:
    ./scripts/drill-convicts

# Derby, failed over five ways while JDBC clients write, with a cold and a warm standby (3 minutes; docs/coordinators.md).
derby-drill *ARGS:
    ./examples/drill/run derby {{ARGS}}

# ActiveMQ Classic, the same with JMS clients; `--own-ha` has its own master and slave in the place of primacy.
activemq-drill *ARGS:
    ./examples/drill/run activemq {{ARGS}}

# slurmctld, the same with sbatch.
slurmctld-drill *ARGS:
    ./examples/drill/run slurmctld {{ARGS}}

# Spark's Thrift server, the same with JDBC; SPARK_JARS names its jars (half an hour).
spark-drill *ARGS:
    ./examples/drill/run spark-thrift {{ARGS}}

# Drills on machines that QEMU runs: `just vm-drill --list`, `just vm-drill power-loss freeze -n 3`. KVM, or slowly without.
vm-drill *ARGS:
    ./vm-drill/run {{ARGS}}

# Generate the pages in docs/reference again, and the API documentation in target/doc.
docs:
    cargo run --locked -- generate-reference docs/reference
    REGENERATE=1 cargo test --locked --test it the_reference_is_generated
    PRIMACY_REGENERATE=1 cargo test --locked --lib role::tests::states
    cargo doc --locked --no-deps

# A .deb and an .rpm in target/package, for glibc 2.28 and later (a release build: minutes); `--check` lints them.
package *ARGS:
    ./scripts/package {{ARGS}}

# Licences, banned crates and sources of the dependencies, and advisories where their list can be had.
deny:
    ./scripts/deny

# What CI runs.
ci:
    ./.ci/run

# Builds that are wrong on purpose: that each seeded bug really does what it is there for (src/seeded_bug.rs).
seeded:
    cargo test --locked --test it --features seeded-bug-two-coordinators,seeded-bug-stale-epoch seeded
