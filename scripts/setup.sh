#!/bin/sh
# Installs what building Weft needs on Debian and its kin, and only what is missing. Says what to do where it cannot.
#
#   cargo            Rust 1.95 or later, from rustup: never installed by this script, which changes no home folder
#   g++              links `weft` with LLVM, which needs the library of C++; what `weft build` makes is linked by its `cc`
#   make             runs what .ci/run asks for
#   llvm-22-dev      LLVM 22.1, in Debian 12's security archive
#   valgrind         counts the instructions of kernels in a test, which is left out without it
set -eu

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $*"; exit 1; }

# Rust put there by rustup in this very session is not on the path yet.
if ! command -v cargo >/dev/null 2>&1 && [ -x "$HOME/.cargo/bin/cargo" ]; then
  PATH="$HOME/.cargo/bin:$PATH"
fi
command -v cargo >/dev/null 2>&1 || fail "cargo is missing. Install Rust 1.95 or later:
  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y
and then open a new shell, or: . \"\$HOME/.cargo/env\""

missing=""
need() { missing="$missing $1"; }
# What is good to have: without it a test is left out.
wanted=""
command -v valgrind >/dev/null 2>&1 || wanted=" valgrind"
# The library that LLVM is written with.
library=$(cc -print-file-name=libstdc++.so 2>/dev/null) || library=""
[ -e "$library" ] || need g++
command -v make >/dev/null 2>&1 || need make
# Headers of the C library.
[ -e /usr/include/stdio.h ] || need libc6-dev
if [ -n "${LLVM_SYS_221_PREFIX:-}" ]; then
  [ -x "$LLVM_SYS_221_PREFIX/bin/llvm-config" ] || fail "LLVM_SYS_221_PREFIX names a folder without bin/llvm-config"
elif ! command -v llvm-config-22 >/dev/null 2>&1 && [ ! -x /usr/lib/llvm-22/bin/llvm-config ]; then
  need llvm-22-dev
fi
[ -n "$missing$wanted" ] || exit 0
# Whatever is in the way of what is only good to have is no fault.
fail() { [ -n "$missing" ] || exit 0; say "error: $*"; exit 1; }

[ -z "$missing" ] || say "missing:$missing"
command -v apt-get >/dev/null 2>&1 || fail "this system has no apt-get: install LLVM 22.1 with its headers and a C compiler
by its own means, and set LLVM_SYS_221_PREFIX to LLVM's folder"

if [ "$(id -u)" = 0 ]; then
  as_root=""
elif command -v sudo >/dev/null 2>&1 && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
  as_root="sudo"
else
  fail "installing needs root. Ask for:
  apt-get install$missing"
fi

export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq || fail "apt-get update failed: is there a network?"
# shellcheck disable=SC2086 # the list is to be split
$as_root apt-get install -y -qq --no-install-recommends $missing $wanted >&2 || fail "apt-get could not install$missing.
On Debian 12, LLVM 22 comes from the security archive; /etc/apt/sources.list needs the line
  deb http://deb.debian.org/debian-security bookworm-security main"
