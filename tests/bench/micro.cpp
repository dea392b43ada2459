// Measures the speed of the units without sockets, in bytes a second, on texts
// that resemble chat messages; and that of simdjson, if it is installed.
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>
#if __has_include(<simdjson.h>)
#include <simdjson.h>
#endif

#include "room/broadcast.h"
#include "ws/deflate.h"
#include "ws/frame.h"
#include "util/json.h"
#include "util/utf8.h"

using namespace wschat;

namespace {

using Texts = std::vector<std::string>;

/// Returns English words; one in twenty is not ASCII or has an escape.
std::string some_words(std::minstd_rand& random, size_t size) {
    static const std::string kPlain[] = {
        "the ",    "and ",    "I ",   "think ",    "you ",
        "should ", "really ", "see ", "this, ",    "it's ",
        "at ",     "10:30. ", "OK? ", "tomorrow ", "(maybe) "};
    static const std::string kOther[] = {
        "schön ", "naïve ",     "😀 ",    "👍🏽 ",
        "“so” ",  R"(\"no\" )", R"(\n)", R"(caf\u00e9 )"};
    std::string words;
    while (words.size() < size)
        words += random() % 20 ? kPlain[random() % std::size(kPlain)]
                               : kOther[random() % std::size(kOther)];
    return words;
}

/// Returns Russian words, with two bytes a letter.
std::string some_russian(std::minstd_rand& random, size_t size) {
    static const std::string kWords[] = {"и ",       "мы ",        "завтра ",
                                         "хорошо, ", "посмотрим ", "да! "};
    std::string words;
    while (words.size() < size) words += kWords[random() % std::size(kWords)];
    return words;
}

using Words = std::string(std::minstd_rand&, size_t);

/// Returns a message of about this size.
std::string chat_message(std::minstd_rand& random, size_t size, Words* words) {
    static const std::string kNames[] = {"Ada", "Grace Hopper", "Jürgen",
                                         "bob"};
    constexpr size_t kAround = 80;
    return R"({"type":"message","username":")" +
           kNames[random() % std::size(kNames)] + R"(","message":")" +
           words(random, size - kAround) + R"(","id":"m-0123456789abcdef)" +
           std::to_string(10000000 + random() % 89999999) + "\"}";
}

/// Returns messages of these sizes, 256 KiB in total: too many for the branch
/// predictor to learn them.
Texts chat(size_t min, size_t max, Words* words = some_words) {
    std::minstd_rand random;
    Texts texts;
    for (size_t size = 0; size < 256 << 10; size += texts.back().size())
        texts.push_back(
            chat_message(random, min + random() % (max - min + 1), words));
    return texts;
}

/// Returns objects of numbers and short strings, as a game or a dashboard
/// sends.
Texts state() {
    std::minstd_rand random;
    Texts texts;
    for (int i = 0; i < 128; ++i) {
        std::string text = R"({"type":"state","players":[)";
        while (text.size() < 2000)
            text += R"({"id":)" + std::to_string(random() % 5000) +
                    R"(, "x":)" +
                    std::to_string(static_cast<double>(random()) * 1e-4) +
                    R"(, "alive":true},)";
        text.back() = ']';
        texts.push_back(text + "}");
    }
    return texts;
}

Texts texts_of(int64_t kind) {
    if (kind == 0) return chat(100, 500);
    if (kind == 1) return chat(4 << 10, 4 << 10);
    if (kind == 2) return chat(64 << 10, 64 << 10);
    if (kind == 3) return chat(100, 500, some_russian);
    return state();
}

/// Measures how long a function takes over all texts of the benchmark's kind.
template <typename Function>
void run(benchmark::State& bench, Function function) {
    static const char* const kLabels[] = {
        "chat, 100 to 500 bytes", "chat, 4 KiB", "chat, 64 KiB",
        "chat in Russian", "state, 2 KB of numbers"};
    const Texts texts = texts_of(bench.range());
    size_t size = 0;
    for (const std::string& text : texts) size += text.size();
    for (auto _ : bench)
        for (const std::string& text : texts)
            benchmark::DoNotOptimize(function(text));
    bench.SetLabel(kLabels[bench.range()]);
    bench.SetBytesProcessed(bench.iterations() * static_cast<int64_t>(size));
}

bool is_relayed(const std::string& text) {
    return check_json(text).outcome == JsonCheck::Outcome::Truthy;
}

bool is_utf8(const std::string& text) {
    Utf8Checker checker;
    return checker.feed(text) == text.size() && checker.complete();
}

/// All checks that the daemon makes for a text message.
void text_and_json(benchmark::State& bench) {
    run(bench,
        [](const std::string& t) { return is_utf8(t) && is_relayed(t); });
}

void json(benchmark::State& bench) {
    run(bench, is_relayed);
}

void utf8(benchmark::State& bench) {
    run(bench, is_utf8);
}

void object_scanner(benchmark::State& bench) {
    run(bench, [](const std::string& t) { return ObjectScanner().feed(t); });
}

void encode(benchmark::State& bench) {
    run(bench, [](const std::string& t) {
        return encode_frame(Opcode::Text, t).size();
    });
}

/// Appends to a log, and advances one cursor after each message.
void publish(benchmark::State& bench) {
    Broadcast broadcast;
    Broadcast::Cursor cursor = broadcast.open_cursor();
    run(bench, [&](const std::string& t) {
        broadcast.append(t);
        const size_t size = broadcast.pending(cursor, broadcast.end()).size;
        broadcast.advance(cursor, size);
        return size;
    });
    broadcast.close_cursor(cursor);
}

void deflate(benchmark::State& bench) {
    Deflater deflater;
    run(bench,
        [&](const std::string& t) { return deflater.deflate(t).size(); });
}

/// Unmasks in place, in the cache.
void unmask_bytes(benchmark::State& bench) {
    std::string data(static_cast<size_t>(bench.range()), 'x');
    const std::array<char, 4> mask{'\x37', '\x7A', '\x21', '\x3D'};
    for (auto _ : bench) {
        unmask(data.data(), data.size(), mask, 1);
        benchmark::ClobberMemory();
    }
    bench.SetBytesProcessed(bench.iterations() * bench.range());
}

BENCHMARK(text_and_json)->DenseRange(0, 4);
BENCHMARK(json)->DenseRange(0, 4);
BENCHMARK(utf8)->DenseRange(0, 4);
BENCHMARK(object_scanner)->DenseRange(0, 4);
BENCHMARK(encode)->DenseRange(0, 2);
BENCHMARK(publish)->DenseRange(0, 2);
BENCHMARK(deflate)->DenseRange(0, 2);
BENCHMARK(unmask_bytes)->Arg(125)->Arg(300)->Arg(4 << 10)->Arg(64 << 10);

#if __has_include(<simdjson.h>)

/// Checks the UTF-8 too, as check_json() does, and builds a tree.
void simdjson_dom(benchmark::State& bench) {
    simdjson::dom::parser parser;
    run(bench, [&](const std::string& t) {
        return parser.parse(t).error() == simdjson::SUCCESS;
    });
}

void simdjson_utf8(benchmark::State& bench) {
    run(bench, [](const std::string& t) {
        return simdjson::validate_utf8(t.data(), t.size());
    });
}

BENCHMARK(simdjson_dom)->DenseRange(0, 4);
BENCHMARK(simdjson_utf8)->DenseRange(0, 4);

#endif

}  // namespace

BENCHMARK_MAIN();
