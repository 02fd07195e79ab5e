#!/bin/sh
# Makes the secrets that Valkey and the replicas share, once, in the folder that is named.
# What is there already stays: a new key secret would reset every counter.
set -eu
folder=$1

random() { # 32 bytes of the system's random source as 64 hexadecimal digits
  head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n'
}
keep() { # keep NAME: stores standard input as a file, whole or not at all
  cat >"$folder/.$1.new"
  chmod 0444 "$folder/.$1.new"
  mv "$folder/.$1.new" "$folder/$1"
}

[ -s "$folder/key-secret" ] || random | keep key-secret
[ -s "$folder/store-password" ] || random | keep store-password
# The user may run the script of Sluicegate and what the script itself does, on its keys alone:
# docs/store.md says what each command is for.
commands="+evalsha +script|load +time +mget +set +msetex +del +info +client|setinfo"
[ -s "$folder/users.acl" ] || keep users.acl <<ACL
user default off
user gate on >$(cat "$folder/store-password") ~sg* resetchannels -@all $commands
ACL
