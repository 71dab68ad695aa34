//! What is asked of `PostgreSQL`. Everything is named in full or comes from `pg_catalog`, the only schema in the path.

/// `$1` is a role, or null for all but those that the server itself defines.
pub(super) const ROLES: &str = "
SELECT r.oid, r.rolname::text, r.rolcanlogin, r.rolsuper,
    CASE WHEN isfinite(r.rolvaliduntil) THEN (extract(epoch FROM r.rolvaliduntil) * 1000)::bigint END,
    ARRAY(SELECT DISTINCT g.rolname::text FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
        WHERE m.member = r.oid ORDER BY 1),
    (SELECT count(*) FROM pg_stat_activity s WHERE s.usesysid = r.oid
        AND coalesce(s.backend_type, 'client backend') IN ('client backend', 'walsender'))
FROM pg_roles r
WHERE r.rolname = $1::text OR $1::text IS NULL AND left(r.rolname, 3) <> 'pg_'
ORDER BY r.rolname::text COLLATE \"C\"
LIMIT 10001";

/// When roles were used last, by the operator's table in place of `TABLE`. `$1` as in [`ROLES`].
pub(super) const LAST_USED: &str = "
SELECT \"role\"::text, (extract(epoch FROM max(\"at\")) * 1000)::bigint FROM TABLE
WHERE \"role\"::text = $1::text OR $1::text IS NULL GROUP BY 1";

/// The password of role `$1` as it is kept, and the version of its row.
pub(super) const KEPT: &str = "SELECT oid, xmin::text, rolpassword FROM pg_authid WHERE rolname = $1::text";

/// What the host's role is beside role `$1`.
pub(super) const RIGHTS: &str = "
SELECT me.rolsuper, me.rolcreaterole, has_table_privilege(me.oid, 'pg_catalog.pg_authid', 'SELECT'),
    me.oid = r.oid, r.rolsuper, r.rolreplication, pg_has_role(me.oid, r.oid, 'MEMBER WITH ADMIN OPTION'),
    pg_has_role(me.oid, r.oid, 'USAGE') OR pg_has_role(me.oid, 'pg_signal_backend', 'USAGE'),
    current_setting('server_version_num')::int
FROM pg_roles me, pg_roles r WHERE me.rolname = current_user AND r.rolname = $1::text";

/// What the host's role is, and the server.
pub(super) const SELF: &str = "
SELECT current_setting('server_version'), current_setting('server_version_num')::int, pg_is_in_recovery(), me.rolsuper,
    me.rolcreaterole, has_table_privilege(me.oid, 'pg_catalog.pg_authid', 'SELECT'),
    pg_has_role(me.oid, 'pg_signal_backend', 'USAGE')
FROM pg_roles me WHERE me.rolname = current_user";

/// The number of role `$1`.
pub(super) const NUMBER: &str = "SELECT oid FROM pg_roles WHERE rolname = $1::text";

/// The sessions of the role with the number `$1`.
pub(super) const SESSIONS: &str = "
SELECT pid, datname::text, host(client_addr), coalesce(application_name, ''),
    (extract(epoch FROM backend_start) * 1000)::bigint
FROM pg_stat_activity
WHERE usesysid = $1 AND pid <> pg_backend_pid() AND coalesce(backend_type, 'client backend') IN ('client backend', 'walsender')
ORDER BY backend_start, pid";

/// Tells the sessions of the role with the number `$1` to end.
pub(super) const END: &str = "
SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity
WHERE usesysid = $1 AND pid <> pg_backend_pid() AND coalesce(backend_type, 'client backend') IN ('client backend', 'walsender')";

/// How many of the processes `$2` still serve the role with the number `$1`.
pub(super) const LEFT: &str = "SELECT count(*) FROM pg_stat_activity WHERE usesysid = $1 AND pid = ANY($2)";

/// Whether role `$1` may sign in, and to database `$2`: null if there is no such database.
pub(super) const LETS_IN: &str = "
SELECT r.rolcanlogin AND coalesce(r.rolvaliduntil > now(), true),
    (SELECT has_database_privilege(r.oid, d.oid, 'CONNECT') AND d.datallowconn FROM pg_database d
        WHERE d.datname = $2::text)
FROM pg_roles r WHERE r.rolname = $1::text";

/// The arguments of [`SET_PASSWORD`] and [`SET_LOGIN`]. A change of a role takes no parameters, so they are made settings of the
/// session: in the text of a statement they would be in the log of each server that logs changes of roles.
pub(super) const ARGUMENTS: &str = "
SELECT set_config('remit.role', $1, false), set_config('remit.oid', $2, false), set_config('remit.was', $3, false),
    set_config('remit.to', $4, false)";

/// The digest stands for what was there before. `ALTER ROLE` without anything writes the row as it is: from then on nobody else can
/// change the role until all of this is done, so that nothing happens between the comparison and the change. An error of the
/// last step is raised anew, because the server would log the statement with it.
pub(super) const SET_PASSWORD: &str = "DO $remit$
DECLARE
    named text := current_setting('remit.role');
    found record;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = named AND oid = current_setting('remit.oid')::oid) THEN
        RAISE EXCEPTION USING ERRCODE = 'RMT01', MESSAGE = 'the role that it was is gone';
    END IF;
    EXECUTE format('ALTER ROLE %I', named);
    SELECT oid, rolpassword INTO found FROM pg_authid WHERE rolname = named;
    IF found.oid IS DISTINCT FROM current_setting('remit.oid')::oid THEN
        RAISE EXCEPTION USING ERRCODE = 'RMT01', MESSAGE = 'the role that it was is gone';
    END IF;
    IF coalesce(encode(sha256(convert_to(found.rolpassword, 'UTF8')), 'hex'), '') <> current_setting('remit.was') THEN
        RAISE EXCEPTION USING ERRCODE = 'RMT01', MESSAGE = 'somebody else set its password';
    END IF;
    BEGIN
        EXECUTE format('ALTER ROLE %I PASSWORD %L', named, nullif(current_setting('remit.to'), ''));
    EXCEPTION WHEN OTHERS THEN
        RAISE EXCEPTION USING ERRCODE = SQLSTATE, MESSAGE = SQLERRM;
    END;
END $remit$";

/// `remit.to` is `LOGIN` or `NOLOGIN`. See [`SET_PASSWORD`].
pub(super) const SET_LOGIN: &str = "DO $remit$
DECLARE
    named text := current_setting('remit.role');
    login boolean := current_setting('remit.to') = 'LOGIN';
    found record;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = named AND oid = current_setting('remit.oid')::oid) THEN
        RAISE EXCEPTION USING ERRCODE = 'RMT01', MESSAGE = 'the role that it was is gone';
    END IF;
    EXECUTE format('ALTER ROLE %I', named);
    SELECT oid, rolcanlogin INTO found FROM pg_roles WHERE rolname = named;
    IF found.oid IS DISTINCT FROM current_setting('remit.oid')::oid THEN
        RAISE EXCEPTION USING ERRCODE = 'RMT01', MESSAGE = 'the role that it was is gone';
    END IF;
    IF found.rolcanlogin = login THEN
        RAISE EXCEPTION USING ERRCODE = 'RMT01', MESSAGE = 'somebody else changed whether it may sign in';
    END IF;
    EXECUTE format(CASE WHEN login THEN 'ALTER ROLE %I LOGIN' ELSE 'ALTER ROLE %I NOLOGIN' END, named);
END $remit$";
