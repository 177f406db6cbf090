"""Samples for the configuration's tests: a smallest node and one that uses nearly everything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from shell.config import LocalConfig, load_local

MINIMAL = """\
scope: demo
name: n1
etcd3:
  hosts: 10.0.0.1:2379,10.0.0.2:2379
restapi:
  listen: 127.0.0.1:8008
  connect_address: 127.0.0.1:8008
postgresql:
  listen: 127.0.0.1:5432
  connect_address: 127.0.0.1:5432
  data_dir: /srv/pg/n1
  authentication:
    superuser: {username: postgres, password: topsecret1}
    replication: {username: replicator, password: topsecret2}
"""

FULL = """\
scope: batman
namespace: /service/
name: pg-0
thread_pool_size: 5
thread_stack_size: 512kB
log:
  type: json
  level: INFO
  traceback_level: ERROR
  format: [asctime, {levelname: level}, message]
  static_fields: {app: hae}
  max_queue_size: 1000
  dir: /var/log/hae
  mode: 0644
  file_num: 4
  file_size: 25MB
  loggers: {urllib3: WARNING}
  deduplicate_heartbeat_logs: on
restapi:
  listen: 0.0.0.0:8008
  connect_address: 10.1.0.1:8008
  authentication: {username: api, password: topsecret-api}
  certfile: /etc/ssl/rest.crt
  keyfile: /etc/ssl/rest.key
  keyfile_password: topsecret-key
  cafile: /etc/ssl/ca.crt
  ciphers: HIGH
  verify_client: required
  allowlist: [10.1.0.0/16]
  allowlist_include_members: yes
  http_extra_headers: {X-Frame-Options: DENY}
  https_extra_headers: {Strict-Transport-Security: max-age=1}
  request_queue_size: 5
  server_tokens: minimal
  thread_pool_size: 5
ctl:
  authentication: {username: api, password: topsecret-ctl}
  insecure: false
  cacert: /etc/ssl/ca.crt
  certfile: /etc/ssl/ctl.crt
  keyfile: /etc/ssl/ctl.key
etcd3:
  hosts:
    - 10.0.0.1:2379
    - 10.0.0.2:2379
  protocol: https
  cacert: /etc/ssl/ca.crt
  cert: /etc/ssl/etcd.crt
  key: /etc/ssl/etcd.key
  username: hae
  password: topsecret-etcd
watchdog: {mode: automatic, device: /dev/watchdog, safety_margin: 5}
tags:
  nofailover: false
  noloadbalance: false
  clonefrom: true
  replicatefrom: pg-1
  nosync: false
  rack: b7
bootstrap:
  dcs:
    ttl: 30
    loop_wait: 10
    retry_timeout: 10
    maximum_lag_on_failover: 1048576
    synchronous_mode: on
    standby_cluster: {host: 10.9.0.1, port: 5432, create_replica_methods: [basebackup]}
    slots:
      logical1: {type: logical, database: app, plugin: pgoutput}
      physical1: {type: physical}
    ignore_slots: [{name: debezium, type: logical}]
    postgresql:
      use_pg_rewind: true
      use_slots: true
      parameters: {wal_level: logical, max_connections: 200}
      pg_hba: [local all all peer]
  method: pgbackrest
  pgbackrest:
    command: /usr/local/bin/restore.sh --fast
    keep_existing_recovery_conf: false
    no_params: false
    recovery_conf: {recovery_target_action: promote, restore_command: cp %f %p}
    stanza: batman
  initdb:
    - encoding: UTF8
    - data-checksums
    - locale: C.UTF-8
  pg_hba:
    - host all all 0.0.0.0/0 scram-sha-256
  post_init: /usr/local/bin/setup.sh
postgresql:
  listen: "10.1.0.1,127.0.0.1:5432"
  connect_address: 10.1.0.1:5432
  proxy_address: 10.1.0.1:6432
  data_dir: /data/pg
  config_dir: /etc/pg
  bin_dir: /usr/lib/postgresql/15/bin
  bin_name: {postgres: postgres15}
  pgpass: /run/hae/pgpass
  authentication:
    superuser: {username: postgres, password: topsecret-super, sslmode: verify-ca}
    replication: {username: replicator, password: topsecret-repl}
    rewind: {username: rewinder, password: topsecret-rew}
  parameters:
    unix_socket_directories: "/run/pg, /tmp"
    shared_buffers: 128MB
    archive_mode: on
    log_file_mode: 0640
    pg_stat_statements.max: 5000
  pg_ident: [m a b]
  use_pg_rewind: true
  remove_data_directory_on_rewind_failure: true
  remove_data_directory_on_diverged_timelines: true
  create_replica_methods: [pgbackrest, basebackup]
  pgbackrest: {command: /usr/bin/pgbackrest restore, keep_data: true, no_params: true, stanza: x}
  basebackup: [verbose, max-rate: 100M]
  recovery_conf: {restore_command: cp %f %p}
  custom_conf: /etc/pg/custom.conf
  callbacks: {on_role_change: /bin/cb.sh}
  pre_promote: /bin/pre.sh
  before_stop: /bin/stop.sh
  pg_ctl_timeout: 2min
  use_unix_socket: true
  use_unix_socket_repl: true
  database: app
  krbsrvname: pg
fence: {mode: required}
recorder: {dir: /var/lib/hae, max_bytes: 10MB}
"""

Load = Callable[..., LocalConfig]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Return a loader of a YAML text with variables of the environment as keyword arguments."""

    def loader(text: str = MINIMAL, **environ: str) -> LocalConfig:
        file = tmp_path / "node.yml"
        file.write_text(text, encoding="utf-8")
        return load_local(file, environ)

    return loader


@pytest.fixture
def minimal() -> str:
    """Return the smallest configuration."""
    return MINIMAL


@pytest.fixture
def full() -> str:
    """Return a configuration that uses nearly every section."""
    return FULL
