# Where the set-up keeps what it fetches, outside the repository. Sourced by the scripts beside it.
export CURLEW_CACHE="${CURLEW_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/curlew}"
mkdir -p "$CURLEW_CACHE"

say() { printf '== %s\n' "$*" >&2; }

# Installs Debian packages, as root or with sudo. The list of packages is fetched once a run.
apt_install() {
    local sudo=""
    [ "$(id -u)" = 0 ] || sudo="sudo -n"
    say "installing $*"
    [ -n "${CURLEW_APT_UPDATED:-}" ] || $sudo apt-get update -qq </dev/null >&2
    CURLEW_APT_UPDATED=1
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" </dev/null >&2
}

# without_services COMMAND...: packages that it installs start no service (Debian's policy-rc.d, in place for that time).
without_services() {
    local sudo="" policy=/usr/sbin/policy-rc.d status=0
    [ "$(id -u)" = 0 ] || sudo="sudo -n"
    if [ -e "$policy" ]; then
        "$@"
        return
    fi
    printf '#!/bin/sh\nexit 101\n' | $sudo tee "$policy" >/dev/null && $sudo chmod 755 "$policy"
    "$@" || status=$?
    $sudo rm -f "$policy"
    return $status
}

# Is JDK 17 or later there, with its compiler?
have_jdk() {
    command -v javac >/dev/null && [ "$(javac -version 2>&1 | sed -E 's/^javac ([0-9]+).*/\1/')" -ge 17 ]
}

# need_java: a JDK and Maven. No release of Debian has every JDK: the first that is there, else what it calls its own.
need_java() {
    have_jdk || apt_install openjdk-21-jdk-headless || apt_install openjdk-17-jdk-headless || apt_install default-jdk-headless
    command -v mvn >/dev/null || apt_install maven
}

# once FOLDER FILE...: true if FOLDER was not yet made from just these files; then empties it.
# `made FOLDER FILE...` marks it as made, so that what was cut short is done again.
once() {
    local folder="$1"
    shift
    [ "$(cat "$folder/.made-from" 2>/dev/null)" = "$(cat "$@" | sha256sum)" ] && return 1
    rm -rf "$folder" && mkdir -p "$folder"
}
made() {
    local folder="$1"
    shift
    cat "$@" | sha256sum >"$folder/.made-from"
}

# maven_jars WHAT FOLDER POM [OPTION...]: what a pom of ours names, from Maven.
maven_jars() {
    local what="$1" libs="$2" pom
    pom="$(dirname "${BASH_SOURCE[0]}")/kafka/$3"
    shift 3
    once "$libs" "$pom" || return 0
    need_java
    say "fetching $what"
    mvn -q -B -f "$pom" "$@" dependency:copy-dependencies "-DoutputDirectory=$libs" </dev/null >&2
    made "$libs" "$pom"
}

# kafka_jars VERSION: the broker of that version.
kafka_jars() {
    maven_jars "Kafka $1" "$CURLEW_CACHE/kafka-$1" pom.xml "-Dkafka.version=$1"
}

# kafka_tools: Kafka's own ProducerPerformance and ConsumerPerformance.
kafka_tools() {
    maven_jars "Kafka's performance tools" "$CURLEW_CACHE/kafka-tools" tools-pom.xml
}
