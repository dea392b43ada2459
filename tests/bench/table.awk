# Prints the table of tests/bench/run. Reads the CPU times before and after the
# runs, then one line per run: case|load|server|NAME=NUMBER ...

BEGIN {
    # "@" stands for the number.
    phrase_of["rooms"] = "@ rooms of"
    phrase_of["clients"] = "@ clients"
    phrase_of["idle"] = "@ idle clients in another room"
    phrase_of["slow"] = "@ non-reading clients"
    phrase_of["bytes"] = "@ bytes"
    phrase_of["window"] = "@ in flight"
    phrase_of["rate"] = "each client sends @ per second"
    label["no-uring"] = "wschat --no-uring"
    label["tls"] = "wschat, wss://"
    label["deflate"] = "wschat, deflate"
}

FILENAME != ARGV[3] {
    sign = FILENAME == ARGV[1] ? -1 : 1
    if (/^cpu/) {
        for (i = 2; i <= 9; i++) all += sign * $i
        # Without the fields of interrupts: the loopback traffic of this benchmark
        # causes most of them.
        others += sign * ($2 + $3 + $4 + $9)
    } else if (/m.*s/) {
        ours += sign * (seconds($1) + seconds($2))
    } else {
        ticks = $1
    }
    next
}

/^growth-/ { next }  # see growth.awk

{
    split($0, field, "|")
    run = field[1] SUBSEP field[3]
    if (!(field[1] in load)) names[++count] = field[1]
    load[field[1]] = field[2]
    if (!(run in runs)) servers[field[1]] = servers[field[1]] " " field[3]
    runs[run]++
    if (field[4] ~ /^skipped/) note[run] = field[4]
    n = split(field[4], pairs, " ")
    for (i = 1; i <= n && !(run in note); i++) {
        split(pairs[i], pair, "=")
        value[run, pair[1], runs[run]] = pair[2]
    }
}

END {
    line("", "deliveries/s", "CPU us", "ratio", "p50 us", "p99 us", "MB")
    for (i = 1; i <= count; i++) print_case(names[i])
    print "\nCPU: CPU time of the server per delivery (idle: per handshake)." \
        " ratio: CPU\nrelative to the last server of the case. MB: peak memory" \
        " of the server (idle:\nmemory with all clients connected)."
    others -= ours * ticks
    printf "Other programs used %.0f %% of the CPUs meanwhile; the less, the" \
        " more exact\nare these figures.\n", (others > 0 ? 100 * others / all : 0)
}

# Prints the rows of a case.
function print_case(name,    n, i, each, base) {
    print "\n" name ": " describe(load[name])
    n = split(servers[name], each, " ")
    base = median(name SUBSEP each[n], "cpu_us")
    for (i = 1; i <= n; i++) row(name SUBSEP each[i], each[i], base)
}

# Describes a load: "clients=100 bytes=128" gives "100 clients, 128 bytes".
function describe(load,    n, i, pairs, pair, text, phrase) {
    n = split(load, pairs, " ")
    for (i = 2; i <= n; i++) {
        split(pairs[i], pair, "=")
        if (!(pair[1] in phrase_of)) continue
        phrase = phrase_of[pair[1]]
        sub(/@/, commas(pair[2]), phrase)
        if (pair[2] == 1) sub(/clients/, "client", phrase)
        text = text (text == "" ? "" : text ~ /of$/ ? " " : ", ") phrase
    }
    return text
}

function row(run, server, base,    cpu) {
    if (server in label) server = label[server]
    if (run in note) {
        printf "  %-18s  %s\n", server, note[run]
        return
    }
    cpu = median(run, "cpu_us")
    line("  " server, number(run, "deliveries_per_s", 1, 0), \
        number(run, "cpu_us", 1, 2), base ? sprintf("%.3f", cpu / base) : "-", \
        number(run, "p50_us", 1, 0), number(run, "p99_us", 1, 0), \
        number(run, "memory_kb", 1024, 1))
    if (remark(run) != "") print "      " remark(run)
}

function line(a, b, c, d, e, f, g) {
    printf "%-20s %12s %8s %6s %9s %9s %6s\n", a, b, c, d, e, f, g
}

# Returns the figures that only some cases have, or "".
function remark(run) {
    if (run ~ /^slow/)
        return number(run, "slowdown", 1, 2) \
            " times as long as without them, " \
            "+" number(run, "growth_kb", 1024, 1) " MB, " \
            number(run, "dropped", 1, 0) " dropped"
    if (run ~ /^idle/)
        return number(run, "bytes_per_connection", 1, 0) " bytes per client, " \
            number(run, "idle_percent", 1, 2) " % CPU idle, " \
            number(run, "left_kb", 1024, 1) " MB after all disconnected"
    if (run ~ /^deflate/)
        return number(run, "wire_bytes", 1, 0) " bytes per message on the wire"
    return ""
}

# Returns the median in this unit, with commas; "-" if there is none.
function number(run, key, unit, digits,    m, text) {
    m = median(run, key)
    if (m == "") return "-"
    return commas(sprintf("%.*f", digits, m / unit))
}

function commas(text) {
    while (match(text, /^[0-9]+[0-9][0-9][0-9]/))
        text = substr(text, 1, RLENGTH - 3) "," substr(text, RLENGTH - 2)
    return text
}

function median(run, key,    n, i, j, sorted) {
    for (i = 1; i <= runs[run]; i++) {
        if (!((run, key, i) in value)) continue
        for (j = ++n; j > 1 && sorted[j - 1] > value[run, key, i]; j--)
            sorted[j] = sorted[j - 1]
        sorted[j] = value[run, key, i] + 0
    }
    if (!n) return ""
    return n % 2 ? sorted[(n + 1) / 2] : (sorted[n / 2] + sorted[n / 2 + 1]) / 2
}

# Converts a time as the shell's `times` prints it, 1m2.5s, to seconds.
function seconds(text,    part) {
    split(text, part, "m")
    return part[1] * 60 + part[2]
}
