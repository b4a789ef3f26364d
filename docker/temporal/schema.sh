#!/bin/sh
# Makes Temporal's two databases, or brings them up to the version of the tools in this image; and Drover's, empty.
# Every step may be done again: this runs at each `docker compose up`.
set -eu

: "${POSTGRES_SEEDS:?host of Postgres}"
: "${POSTGRES_USER:?its user}"
: "${SQL_PASSWORD:?its password}"

sql() {
  database=$1
  shift
  temporal-sql-tool --plugin postgres12 --endpoint "$POSTGRES_SEEDS" --port "${DB_PORT:-5432}" \
    --user "$POSTGRES_USER" --database "$database" "$@"
}

prepare() {
  sql "$1" create-database
  sql "$1" setup-schema --version 0.0
  sql "$1" update-schema --schema-name "postgresql/v12/$2"
}

# Under the names that the server looks for.
prepare "${DBNAME:-temporal}" temporal
prepare "${VISIBILITY_DBNAME:-temporal_visibility}" visibility
sql drover create-database
