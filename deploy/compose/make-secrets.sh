#!/bin/sh
# Makes the secrets of Valkey and of the replicas, each in a folder of its own, which are named in
# this order. What the replicas have stays: a new key secret would reset every counter.
set -eu
valkey=$1
replicas=$2

random() { # 32 bytes of the system's random source as 64 hexadecimal digits
  head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n'
}
keep() { # keep FILE: stores standard input as a file, whole or not at all
  cat >"$1.new"
  chmod 0444 "$1.new"
  mv "$1.new" "$1"
}

[ -s "$replicas/key-secret" ] || random | keep "$replicas/key-secret"
[ -s "$replicas/store-password" ] || random | keep "$replicas/store-password"
# Valkey needs no more than the hash of the password.
hash=$(sha256sum <"$replicas/store-password" | cut -c 1-64)
# The user may run the script of Sluicegate and what the script itself does, on its keys alone:
# docs/store.md says what each command is for. Written anew at each start, as rights may change.
keys="~sg{* ~sg:generation resetchannels"
commands="+evalsha +script|load +time +mget +set +msetex +del +info +client|setinfo"
printf 'user default off\nuser gate on #%s %s -@all %s\n' "$hash" "$keys" "$commands" |
  keep "$valkey/users.acl"
