# The cache directory for downloads, outside the repository. The scripts in this directory source this file.
export CURLEW_CACHE="${CURLEW_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/curlew}"
mkdir -p "$CURLEW_CACHE"

say() { printf '== %s\n' "$*" >&2; }

# Installs Debian packages, as root or with sudo. Updates the package list once per run.
apt_install() {
    local sudo=""
    [ "$(id -u)" = 0 ] || sudo="sudo -n"
    say "installing $*"
    [ -n "${CURLEW_APT_UPDATED:-}" ] || $sudo apt-get update -qq </dev/null >&2
    CURLEW_APT_UPDATED=1
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" </dev/null >&2
}

# without_services COMMAND...: runs a command that installs packages without starting their services (Debian's
# policy-rc.d).
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

# Whether JDK 17 or later is installed, including its compiler.
have_jdk() {
    command -v javac >/dev/null && [ "$(javac -version 2>&1 | sed -E 's/^javac ([0-9]+).*/\1/')" -ge 17 ]
}

# need_java: installs a JDK and Maven. Each Debian release has different JDK versions, so this tries several packages.
need_java() {
    have_jdk || apt_install openjdk-21-jdk-headless || apt_install openjdk-17-jdk-headless || apt_install default-jdk-headless
    command -v mvn >/dev/null || apt_install maven
}

# once DIRECTORY FILE...: returns 0 and empties DIRECTORY unless it was made from exactly these files.
# made DIRECTORY FILE...: marks DIRECTORY as complete, so that an interrupted installation is repeated.
once() {
    local directory="$1"
    shift
    [ "$(cat "$directory/.made-from" 2>/dev/null)" = "$(cat "$@" | sha256sum)" ] && return 1
    rm -rf "$directory" && mkdir -p "$directory"
}
made() {
    local directory="$1"
    shift
    cat "$@" | sha256sum >"$directory/.made-from"
}

# maven_jars WHAT DIRECTORY POM [OPTION...]: downloads the dependencies of a POM in integration/kafka.
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

# kafka_jars VERSION: downloads this version of the Kafka broker.
kafka_jars() {
    maven_jars "Kafka $1" "$CURLEW_CACHE/kafka-$1" pom.xml "-Dkafka.version=$1"
}

# schema_registry: downloads Apicurio Registry.
schema_registry() {
    local archive directory="$CURLEW_CACHE/apicurio"
    maven_jars "Apicurio Registry" "$directory" registry-pom.xml
    for archive in "$directory"/*.tar.gz; do
        [ -e "$archive" ] || continue
        tar -xzf "$archive" -C "$directory"
        rm "$archive"
    done
}

# kafka_tools: downloads Kafka's ProducerPerformance and ConsumerPerformance.
kafka_tools() {
    maven_jars "Kafka's performance tools" "$CURLEW_CACHE/kafka-tools" tools-pom.xml
}
