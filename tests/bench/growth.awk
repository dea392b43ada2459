# Prints how the costs of tests/bench/run grow with the number of clients, and
# draws them: awk -v svg=FILE -f tests/bench/growth.awk RESULTS. Reads the lines
# of the cases growth-COST-CLIENTS: case|load|server|NAME=NUMBER ...

BEGIN {
    count_of["costs"] = split("delivery round-trip handshake", costs, " ")
    title["delivery"] = "a delivery"
    title["round-trip"] = "a round trip"
    title["handshake"] = "a handshake"
    color["wschat"] = "#0b6bcb"
    color["naive"] = "#b3541e"
}

{
    split($0, field, "|")
    if (field[1] !~ /^growth-/) next
    # "idle=100" or "clients=100"; BENCH_QUICK makes them fewer.
    match(field[2], field[2] ~ /idle=/ ? "idle=[0-9]+" : "clients=[0-9]+")
    clients = substr(field[2], RSTART, RLENGTH)
    sub(/.*=/, "", clients)
    cost = field[1]
    gsub(/^growth-|-[0-9]*$/, "", cost)
    server = field[3]
    if (match(field[4], /cpu_us=[0-9.e+-]*/)) {
        number = substr(field[4], RSTART + 7, RLENGTH - 7) + 0
        key = cost SUBSEP server SUBSEP clients
        values[key] = values[key] " " number
        sizes[clients] = 1
        servers[server] = 1
    }
}

END {
    for (size in sizes) insert(size + 0)
    if (n == 0) exit
    print "\nGrowth: CPU time of the server in microseconds. In brackets," \
        " relative to the\nsmallest number of clients.\n"
    for (i = 1; i <= count_of["costs"]; i++) print_table(costs[i])
    draw()
    print "A plot of these figures: " svg
}

function insert(size,    j) {
    for (j = ++n; j > 1 && sorted[j - 1] > size; j--) sorted[j] = sorted[j - 1]
    sorted[j] = size
}

function print_table(cost,    i, first, text) {
    printf "%-24s %18s %18s\n", title[cost], "wschat", "naive"
    for (i = 1; i <= n; i++)
        printf "%16d clients %18s %18s\n", sorted[i], \
            cell(cost, "wschat", sorted[i]), cell(cost, "naive", sorted[i])
    print ""
}

function cell(cost, server, size,    value, first) {
    value = median(cost, server, size)
    first = median(cost, server, sorted[1])
    if (value == "") return "-"
    return sprintf("%.2f (%.2f)", value, first > 0 ? value / first : 0)
}

function median(cost, server, size,    i, j, m, part, order) {
    m = split(values[cost, server, size], part, " ")
    for (i = 1; i <= m; i++) {
        for (j = i; j > 1 && order[j - 1] > part[i] + 0; j--)
            order[j] = order[j - 1]
        order[j] = part[i] + 0
    }
    if (m == 0) return ""
    return m % 2 ? order[(m + 1) / 2] : (order[m / 2] + order[m / 2 + 1]) / 2
}

# Three plots beside each other, with logarithmic axes.
function draw(    i) {
    printf "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 960 340'" \
        " font-family='sans-serif' font-size='12'>\n" \
        "<rect width='960' height='340' fill='#fff'/>\n" >svg
    for (i = 1; i <= count_of["costs"]; i++)
        draw_cost(costs[i], 320 * (i - 1) + 50)
    print "</svg>" >svg
    close(svg)
}

function draw_cost(cost, left,    i, server, value, top, bottom, points, y) {
    bottom = top = ""
    for (server in servers)
        for (i = 1; i <= n; i++) {
            value = median(cost, server, sorted[i])
            if (value == "" || value <= 0) continue
            if (bottom == "" || value < bottom) bottom = value
            if (top == "" || value > top) top = value
        }
    if (bottom == "") return
    # Whole powers of ten.
    low = floor(log10(bottom))
    high = floor(log10(top)) + 1
    printf "<text x='%d' y='24' font-weight='bold'>CPU time of %s</text>\n", \
        left, title[cost] >svg
    for (i = low; i <= high; i++)
        printf "<path d='M%d %.1fh250' stroke='#ddd'/>" \
            "<text x='%d' y='%.1f' text-anchor='end'>%s</text>\n", left, \
            y_of(10 ^ i), left - 6, y_of(10 ^ i) + 4, 10 ^ i >svg
    for (i = 1; i <= n; i++)
        printf "<text x='%.1f' y='300' text-anchor='middle'>%s</text>\n", \
            left + x_of(sorted[i]), \
            sorted[i] < 1000 ? sorted[i] : sorted[i] / 1000 "k" >svg
    printf "<text x='%d' y='322' text-anchor='middle'>clients</text>" \
        "<text x='%d' y='42'>us</text>\n", left + 125, left - 30 >svg
    for (server in servers) {
        points = ""
        for (i = 1; i <= n; i++) {
            value = median(cost, server, sorted[i])
            if (value == "" || value <= 0) continue
            y = y_of(value)
            points = points sprintf("%.1f,%.1f ", left + x_of(sorted[i]), y)
        }
        printf "<polyline points='%s' fill='none' stroke='%s'" \
            " stroke-width='2'/><text x='%d' y='%.1f' text-anchor='end'" \
            " fill='%s'>%s</text>\n", points, color[server], left + 248, \
            y - 6, color[server], server >svg
    }
}

function x_of(size) {
    return n < 2 ? 125 : \
        15 + 220 * log(size / sorted[1]) / log(sorted[n] / sorted[1])
}

function y_of(value) {
    return 280 - 230 * (log10(value) - low) / (high - low)
}

function log10(value) {
    return log(value) / log(10)
}

function floor(value) {
    return value < int(value) ? int(value) - 1 : int(value)
}
