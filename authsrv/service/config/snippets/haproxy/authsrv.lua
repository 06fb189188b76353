-- Asks authsrv about a request, by HAProxy's own HTTP client.
--
-- Only where the service answers with its verdict is txn.authsrv_verdict set; haproxy.cfg refuses
-- the request where it is not. So an error in here lets nobody in.

local SOCKET = "unix@@SOCKETS@/asks.sock"
-- HAProxy asks up to four times before it gives up.
local TIMEOUT_MS = 4000

-- What the application is told; all of it is overwritten, whatever the client sent. These are the
-- fields of `headers` in authsrv.toml, here of the preset "authelia", and that of token_header, and
-- must be changed with them, here and in haproxy.cfg. For the preset "grafana":
--     "x-webauth-user",
local IDENTITY = {
    "remote-user", "remote-name", "remote-email", "remote-groups", "remote-groups-truncated",
    "x-authsrv-token",
}

-- Of a body that the ask does not have, and of the client's connection to HAProxy.
local NOT_ASKED = {
    ["content-length"] = true, ["transfer-encoding"] = true, ["trailer"] = true, ["te"] = true,
    ["expect"] = true, ["connection"] = true, ["keep-alive"] = true,
}

-- Of an answer that is no yes, the client gets these.
local TOLD = {
    "content-type", "cache-control", "vary", "location", "refresh", "retry-after",
    "set-cookie", "www-authenticate", "x-content-type-options",
}

-- HAProxy counts values from 0.
local function in_order(values)
    local fields, index = {}, 0
    while values[index] do
        fields[index + 1] = values[index]
        index = index + 1
    end
    return fields
end

-- The header fields of the ask: the client's, and over them what the service believes.
local function fields_of(txn, site)
    local fields = {}
    for name, values in pairs(txn.http:req_get_headers()) do
        if not NOT_ASKED[name] then
            fields[name] = in_order(values)
        end
    end
    fields["x-original-method"] = {txn.sf:method()}
    fields["x-original-scheme"] = {txn.f:ssl_fc() and "https" or "http"}
    fields["x-original-host"] = {txn.sf:req_hdr("host")}
    fields["x-original-uri"] = {txn.sf:pathq()}
    fields["x-original-address"] = {txn.sf:src()}
    fields["x-authsrv-site"] = {site}
    return fields
end

-- Gives the client the service's answer, and ends the request.
local function refuse(txn, answer)
    local status = answer.status
    if status < 300 or status > 599 then
        status = 403
    end
    local reply = txn:reply{status = status, body = answer.body}
    for _, name in ipairs(TOLD) do
        for _, value in ipairs(in_order(answer.headers[name] or {})) do
            reply:add_header(name, value)
        end
    end
    txn:done(reply)
end

-- Sets a field of the request to the first of some values. Where that is empty, or there is none,
-- the request has none.
local function set(txn, name, values)
    local value = (values or {})[0] or ""
    txn.http:req_del_header(name)
    if value ~= "" then
        txn.http:req_set_header(name, value)
    end
end

core.register_action("authsrv_ask", {"http-req"}, function(txn, site)
    txn:unset_var("txn.authsrv_verdict")
    local answer = core.httpclient():get{
        url = "http://authsrv/ask/haproxy",
        dst = SOCKET,
        headers = fields_of(txn, site),
        timeout = TIMEOUT_MS,
    }
    local told = answer.headers or {}
    local verdict = told["x-authsrv-verdict"]
    if answer.status ~= 200 or not verdict or verdict[0] ~= "admitted" then
        refuse(txn, answer)
        return
    end
    for _, name in ipairs(IDENTITY) do
        set(txn, name, told[name])
    end
    set(txn, "cookie", told["x-authsrv-cookie"])
    if told["set-cookie"] then
        txn:set_var("txn.authsrv_set_cookie", told["set-cookie"][0])
    end
    if told["www-authenticate"] then
        txn:set_var("txn.authsrv_proof", told["www-authenticate"][0])
    end
    txn:set_var("txn.authsrv_verdict", "admitted")
end, 1)
