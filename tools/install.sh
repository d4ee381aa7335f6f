#!/bin/sh
# Installs what is missing, and nothing else: Debian packages from tools/debian-packages.txt, a recent enough
# nats-server, npm packages. Run again it does nothing, in well under a second.
#
#   sh tools/install.sh [build] [run] [test] [bench] [package]      default: build run
set -eu
cd "$(dirname "$0")/.."

say() { printf 'install: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

wanted=${*:-build run}

# --- what the list asks for, as "name minimum" lines ------------------------------------------------------------
listed() {
  while read -r package use _; do
    case $package in '' | '#'*) continue ;; esac
    case " $wanted " in *" $use "*) ;; *) continue ;; esac
    case $package in
      *'>='*) printf '%s %s\n' "${package%%>=*}" "${package##*>=}" ;;
      *) printf '%s 0\n' "$package" ;;
    esac
  done <tools/debian-packages.txt
}

# One dpkg-query for all: a call each would cost more than the rest of this script.
missing() {
  # shellcheck disable=SC2046 # package names hold no blanks
  installed=$(dpkg-query -W -f='${binary:Package} ${db:Status-Status} ${Version}\n' $(listed | cut -d' ' -f1) 2>/dev/null || true)
  listed | while read -r package minimum; do
    version=$(printf '%s\n' "$installed" | awk -v p="$package" '{ sub(/:.*/, "", $1) } $1 == p && $2 == "installed" { print $3; exit }')
    if [ -n "$version" ] && { [ "$minimum" = 0 ] || dpkg --compare-versions "$version" ge "$minimum"; }; then continue; fi
    # A nats-server of the machine's owner in PATH is as good as a package.
    if [ "$package" = nats-server ] && own_nats_is_recent "$minimum"; then continue; fi
    printf '%s %s\n' "$package" "$minimum"
  done
}

own_nats_is_recent() {
  command -v nats-server >/dev/null || return 1
  dpkg --compare-versions "$(nats-server --version | sed 's/.*v//')" ge "$1"
}

# --- apt ---------------------------------------------------------------------------------------------------------
apt_is_fresh=no
refresh_apt() {
  [ $apt_is_fresh = no ] || return 0
  say 'apt-get update'
  apt-get -qq update >&2
  apt_is_fresh=yes
}

candidate() { apt-cache policy "$1" | awk '$1 == "Candidate:" { print $2 }'; }

# The newly installed daemons (registry, prometheus, nats-server) must not start: Gantry and the tests run their own.
# policy-rc.d is Debian's way to say so; ours goes away with this script.
policy=/usr/sbin/policy-rc.d
apt_install() {
  if [ ! -e $policy ]; then
    trap 'rm -f '$policy EXIT
    trap 'exit 130' INT TERM
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
  fi
  DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "$@" >&2
}

# Prints "URI<TAB>keyring" of the machine's own Debian archive, from deb822 and one-line sources.
debian_archive() {
  codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
  [ -n "$codename" ] || return 1
  for file in /etc/apt/sources.list.d/*.sources; do
    [ -e "$file" ] || continue
    awk -v codename="$codename" '
      function flush() {
        if (types ~ /(^| )deb( |$)/ && (" " suites " ") ~ (" " codename " ") && components ~ /(^| )main( |$)/ && enabled != "no") {
          split(uris, u, " "); print u[1] "\t" signed; found = 1
        }
        types = uris = suites = components = signed = enabled = ""
      }
      /^[[:space:]]*$/ { flush(); next }
      /^#/ { next }
      {
        key = tolower($1); value = $0; sub(/^[^:]*:[[:space:]]*/, "", value); sub(/[[:space:]]+$/, "", value)
        if (key == "types:") types = value
        if (key == "uris:") uris = value
        if (key == "suites:") suites = value
        if (key == "components:") components = value
        if (key == "signed-by:") signed = value
        if (key == "enabled:") enabled = value
      }
      END { flush() }' "$file"
  done
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ -e "$file" ] || continue
    awk -v codename="$codename" '
      $1 == "deb" {
        signed = ""; line = $0; sub(/^deb[[:space:]]+/, "", line)
        if (line ~ /^\[/) {
          options = line; sub(/\].*/, "", options); sub(/^\[/, "", options); sub(/^\[[^]]*\][[:space:]]*/, "", line)
          n = split(options, o, " "); for (i = 1; i <= n; i++) if (o[i] ~ /^signed-by=/) signed = substr(o[i], 11)
        }
        n = split(line, f, /[[:space:]]+/)
        if (f[2] == codename) for (i = 3; i <= n; i++) if (f[i] == "main") { print f[1] "\t" signed; break }
      }' "$file"
  done
}

# Debian 13's nats-server for an older Debian: one more source, from which nothing but this package may come.
offer_newer_nats() {
  say "this distribution's nats-server ($(candidate nats-server)) is older than $1: taking Debian 13's"
  archive=$(debian_archive | head -n 1)
  [ -n "$archive" ] || fail 'no Debian archive in /etc/apt: install nats-server '"$1"' or later yourself, then run this again'
  uri=$(printf '%s' "$archive" | cut -f1)
  keyring=$(printf '%s' "$archive" | cut -f2)
  {
    printf '# Written by Gantry (tools/install.sh) for nats-server alone; see /etc/apt/preferences.d/gantry-nats-server.\n'
    printf 'Types: deb\nURIs: %s\nSuites: trixie\nComponents: main\n' "$uri"
    [ -z "$keyring" ] || printf 'Signed-By: %s\n' "$keyring"
  } >/etc/apt/sources.list.d/gantry-nats-server.sources
  {
    printf '# Written by Gantry (tools/install.sh): from Debian 13 only nats-server, nothing else.\n'
    printf '# Before you upgrade this machine to Debian 13 itself, remove this file.\n'
    printf 'Package: nats-server\nPin: release n=trixie\nPin-Priority: 900\n\n'
    printf 'Package: *\nPin: release n=trixie\nPin-Priority: -1\n'
  } >/etc/apt/preferences.d/gantry-nats-server
  apt_is_fresh=no
  refresh_apt
  dpkg --compare-versions "$(candidate nats-server)" ge "$1" || fail "no nats-server $1 or later to be had from $uri"
}

install_debian_packages() {
  needs=$(missing)
  [ -n "$needs" ] || return 0
  names=$(printf '%s\n' "$needs" | cut -d' ' -f1 | tr '\n' ' ')
  [ "$(id -u)" = 0 ] || fail "these Debian packages are missing and only root can install them: $names"
  command -v apt-get >/dev/null || fail "no apt-get here; install these yourself: $names"
  for package in $names; do
    [ "$(candidate "$package")" != '' ] && [ "$(candidate "$package")" != '(none)' ] || { refresh_apt; break; }
  done
  minimum=$(printf '%s\n' "$needs" | awk '$1 == "nats-server" { print $2 }')
  if [ -n "$minimum" ] && ! dpkg --compare-versions "$(candidate nats-server)" ge "$minimum"; then offer_newer_nats "$minimum"; fi
  say "Debian packages: $names"
  # shellcheck disable=SC2086 # a list of names
  apt_install $names || { refresh_apt; apt_install $names; }
  # Nor may they start at the next boot: this machine asked for Gantry, not for a second registry or bus.
  if [ -d /run/systemd/system ]; then
    for package in $names; do
      case $package in nats-server | docker-registry | prometheus) systemctl -q disable "$package" || true ;; esac
    done
  fi
}

# --- npm ---------------------------------------------------------------------------------------------------------
install_npm_packages() {
  if node tools/npm-is-current.mjs; then return 0; fi
  say 'npm ci'
  npm ci --no-audit --no-fund --loglevel=error >&2
}

install_debian_packages
install_npm_packages
