#!/bin/sh
# Makes an authority, once, and a certificate for each server: ./certificates.sh nats-1 nats-2,nats-2.example,192.0.2.2
# A server's other names and addresses, by which clients reach it, stand behind its name, with commas.
# Needs openssl. The results are in secrets/; ca.pem is for everybody, ca.key for nobody but you.
set -eu
cd "$(dirname "$0")"
# Nobody else can enter the directory; a container reads the files that are mounted into it, as another user.
[ -d secrets ] || mkdir -m 700 secrets
cd secrets
[ -e ca.pem ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 -days 7300 \
  -subj "/CN=interface-publisher fleet" -addext "keyUsage=critical,keyCertSign,cRLSign" -keyout ca.key -out ca.pem
for server in "$@"; do
  name=${server%%,*}
  names=
  for one in $(echo "$server" | tr , ' '); do
    case $one in
    *:* | *[0-9].[0-9]*.[0-9]*.[0-9]*) names="$names,IP:$one" ;;
    *) names="$names,DNS:$one" ;;
    esac
  done
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 -subj "/CN=$name" \
    -keyout "$name.key" -out "$name.csr"
  # Both uses: a server calls the others of its cluster, and is called by them.
  printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "${names#,}" > "$name.ext"
  openssl x509 -req -in "$name.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -sha256 -days 3650 \
    -extfile "$name.ext" -out "$name.pem"
  chmod 444 "$name.key"
  rm "$name.csr" "$name.ext"
done
