// SPDX-License-Identifier: Apache-2.0

// Package model is a PostgreSQL backend as a state machine: exact in what the
// protocol is about, and with a few statements of SQL only. It has no
// connections, no time and no goroutines: bytes in, bytes out, a little work at
// each Step.
//
// Exact are: the simple and the extended protocol, ignoring up to Sync after an
// error, implicit and explicit transactions, portals with limits, the life of
// named and unnamed statements, COPY in both directions with its copy mode,
// when output is flushed, cancel requests, notices, and parameters reported.
//
// The statements are SQL that PostgreSQL itself understands once the objects of
// Setup are there, so the model is tested by comparing it with a real server.
// What a row contains shows who asked, and all that the session's state lets it
// see.
//
// The simulator uses the model twice: behind the proxy, shared by many clients,
// and as an oracle, alone with one client, which must answer alike.
package model

// Setup makes the objects that the model's statements use, in a real database.
const Setup = `
create table sim_log (mark text);
create table sim_copy (a int);
create view sim_view as select 1 as a;
create function sim_state(mark text) returns text language sql volatile as $$
  select mark
    || '|a=' || coalesce(current_setting('sim.a', true), '')
    || '|s=' || coalesce(current_setting('sim.s', true), '')
    || '|tz=' || current_setting('TimeZone')
    || '|app=' || current_setting('application_name')
    || '|temp=' || coalesce((select string_agg(relname, ',' order by relname collate "C") from pg_class
         where relnamespace = pg_my_temp_schema() and relkind = 'r'), '')
    || '|locks=' || (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid())
    || '|listen=' || coalesce((select string_agg(c, ',' order by c collate "C") from pg_listening_channels() c), '')
    || '|prepared=' || coalesce((select string_agg(name, ',' order by name collate "C") from pg_prepared_statements
         where from_sql), '')
$$;
create function sim_row(mark text, i int) returns text language sql volatile as $$
  select mark || '|' || i
$$;
create function sim_sleep(mark text) returns text language sql volatile as $$ select mark $$;
create function sim_fail(mark text) returns text language plpgsql volatile as $$
begin raise exception 'sim_fail %', mark using errcode = '22012'; end $$;
`
