# Prints the table of tests/bench/run. Reads the CPU times of the machine before
# and after, then one line for each run: case|load|server|NAME=NUMBER ...

BEGIN {
    word["rooms"] = "@ rooms of"
    word["clients"] = "@ clients"
    word["idle"] = "@ others idle in another room"
    word["slow"] = "@ that never read"
    word["bytes"] = "@ bytes"
    word["window"] = "@ in flight"
    word["rate"] = "each sends @ a second"
    label["no-uring"] = "wschat --no-uring"
    label["tls"] = "wschat, wss://"
    label["deflate"] = "wschat, deflate"
}

FILENAME != ARGV[3] {
    sign = FILENAME == ARGV[1] ? -1 : 1
    if (/^cpu/) {
        for (i = 2; i <= 9; i++) all += sign * $i
        # The interrupts of the loopback belong to the benchmark, but are not
        # counted for a process.
        others += sign * ($2 + $3 + $4 + $9)
    } else if (/m.*s/) {
        ours += sign * (seconds($1) + seconds($2))
    } else {
        ticks = $1
    }
    next
}

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
    for (i = 1; i <= count; i++) show(names[i])
    print "\nCPU: the server's, for a delivery (idle: a handshake); ratio: to" \
        " the last\nserver of the case. MB: the server's peak memory (idle:" \
        " with all clients\nconnected)."
    others -= ours * ticks
    printf "Other programs used %.0f %% of the CPUs meanwhile, which distorts" \
        " the results.\n", (others > 0 ? 100 * others / all : 0)
}

function show(name,    n, i, each, base) {
    print "\n" name ": " in_words(load[name])
    n = split(servers[name], each, " ")
    base = median(name SUBSEP each[n], "cpu_us")
    for (i = 1; i <= n; i++) row(name SUBSEP each[i], each[i], base)
}

function in_words(load,    n, i, pairs, pair, text, phrase) {
    n = split(load, pairs, " ")
    for (i = 2; i <= n; i++) {
        split(pairs[i], pair, "=")
        if (!(pair[1] in word)) continue
        phrase = word[pair[1]]
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

function remark(run) {
    if (run ~ /^slow/)
        return number(run, "slowdown", 1, 2) \
            " times as long as without them, " \
            "+" number(run, "growth_kb", 1024, 1) " MB, " \
            number(run, "dropped", 1, 0) " dropped"
    if (run ~ /^idle/)
        return number(run, "bytes_per_connection", 1, 0) " bytes each, " \
            number(run, "idle_percent", 1, 2) " % CPU idle, " \
            number(run, "left_kb", 1024, 1) " MB after all have left"
    if (run ~ /^deflate/)
        return number(run, "wire_bytes", 1, 0) " bytes a message on the wire"
    return ""
}

# The median in this unit, with commas; "-" if there is none.
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

# Returns the seconds of a time such as 1m2.5s, the format of `times`.
function seconds(text,    part) {
    split(text, part, "m")
    return part[1] * 60 + part[2]
}
