// Plays the clients of a server that relays every message to everyone in the
// room, over loopback, and measures what that costs the server:
//
//   load MODE port=PORT pid=PID [NAME=NUMBER]...
//
//   fanout  one client speaks
//   rtt     fanout with one client, and idle ones in another room
//   all     everyone speaks, at a rate a second each, for some seconds
//   rooms   in each of so many rooms everyone, or so many, speak in turn
//   slow    fanout, then once more with clients who never read
//   idle    nobody speaks for some seconds; then all leave
//
// Prints NAME=NUMBER pairs in one line. Every client must receive every message
// of its room once, in the same order and unaltered: else it says what was
// wrong, and exits with 1.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

#include <time.h>

#include "load_clients.h"

using namespace wschat::bench;

namespace {

/// The numbers of the command line.
class Plan {
public:
    Plan(int argc, char** argv) {
        for (int i = 2; i < argc; ++i) {
            const std::string text = argv[i];
            const size_t equals = text.find('=');
            if (equals == text.npos || !numbers_.count(text.substr(0, equals)))
                throw std::runtime_error("what is " + text + "?");
            numbers_[text.substr(0, equals)] =
                std::strtoul(&text[equals + 1], nullptr, 10);
        }
        if (numbers_["bytes"] < Transcript::kMinText)
            throw std::runtime_error("bytes are too few");
    }

    size_t operator[](const char* name) const { return numbers_.at(name); }
    pid_t pid() const { return static_cast<pid_t>(numbers_.at("pid")); }

private:
    std::map<std::string, size_t> numbers_{
        {"port", 0},     {"pid", 0},       // the server's
        {"clients", 1},                    // in each room
        {"rooms", 1},    {"speakers", 0},  // 0: as the mode says
        {"bytes", 128},                    // of a text
        {"messages", 0}, {"window", 1},    // of each room
        {"idle", 0},     {"slow", 0},      // further clients
        {"rate", 1},     {"seconds", 5},   // for all; seconds for idle
        {"tls", 0},      {"deflate", 0}};
};

void print(const char* name, double value) {
    std::printf("%s=%.3f ", name, value);
}

std::string path_of(pid_t pid, const char* file) {
    return "/proc/" + std::to_string(pid) + "/" + file;
}

/// KiB of memory that are resident now (VmRSS), or at most until now (VmHWM).
double memory(pid_t pid, const std::string& which = "VmRSS:") {
    std::ifstream lines(path_of(pid, "status"));
    std::string line;
    while (std::getline(lines, line))
        if (line.rfind(which, 0) == 0) return std::atof(&line[which.size()]);
    throw std::runtime_error("the server has ended");
}

/// How many descriptors the server has open.
double descriptors(pid_t pid) {
    const std::filesystem::directory_iterator all(path_of(pid, "fd"));
    return static_cast<double>(std::distance(begin(all), end(all)));
}

/// Of all its threads: the sum that utime and stime in /proc/PID/stat round to
/// ticks of 10 ms.
double cpu_seconds(pid_t pid) {
    clockid_t clock;
    timespec used{};
    if (clock_getcpuclockid(pid, &clock) != 0 ||
        clock_gettime(clock, &used) != 0)
        throw std::runtime_error("the server has ended");
    return static_cast<double>(used.tv_sec) +
           static_cast<double>(used.tv_nsec) / 1e9;
}

double quantile(Delays delays, double share) {
    const auto rank = static_cast<std::ptrdiff_t>(
        share * static_cast<double>(delays.size() - 1));
    std::nth_element(delays.begin(), delays.begin() + rank, delays.end());
    return static_cast<double>(delays[static_cast<size_t>(rank)]);
}

/// What the server and the clock have spent since it began.
class Meter {
public:
    explicit Meter(pid_t pid) : pid_(pid), cpu_(cpu_seconds(pid)) {}

    double seconds() const {
        const std::chrono::duration<double> passed = Clock::now() - begun_;
        return passed.count();
    }
    double cpu() const { return cpu_seconds(pid_) - cpu_; }

private:
    pid_t pid_;
    double cpu_;
    Clock::time_point begun_ = Clock::now();
};

Talk as_fast_as_it_goes(const Plan& plan) {
    return {plan["messages"], plan["window"], 0};
}

/// The first messages find small buffers everywhere, and cold caches.
void warm_up(const Plan& plan, LoadClients& crowd) {
    crowd.talk({plan["messages"] / 10 + 1, plan["window"], 0});
}

/// Talks, and prints what came of it. Returns how many seconds it took.
double measure(const Plan& plan, LoadClients& crowd, const Talk& talk) {
    const Meter meter(plan.pid());
    crowd.talk(talk);
    const double seconds = meter.seconds();
    const double cpu = meter.cpu();
    crowd.check_silence();
    const auto deliveries = static_cast<double>(crowd.delays().size());
    print("deliveries_per_s", deliveries / seconds);
    print("cpu_us", cpu * 1e6 / deliveries);
    print("p50_us", quantile(crowd.delays(), 0.5));
    print("p99_us", quantile(crowd.delays(), 0.99));
    print("wire_bytes", crowd.bytes_a_message());
    print("memory_kb", memory(plan.pid(), "VmHWM:"));
    return seconds;
}

void fanout(const Plan& plan, LoadClients& crowd) {
    crowd.add_room("/", plan["clients"], 1, plan["bytes"]);
    if (plan["idle"] > 0) crowd.add_room("/idle", plan["idle"], 0, 0);
    warm_up(plan, crowd);
    measure(plan, crowd, as_fast_as_it_goes(plan));
}

void all(const Plan& plan, LoadClients& crowd) {
    crowd.add_room("/", plan["clients"], plan["clients"], plan["bytes"]);
    const size_t rate = plan["rate"] * plan["clients"];
    measure(plan, crowd,
            {rate * plan["seconds"], 0, static_cast<double>(rate)});
}

void rooms(const Plan& plan, LoadClients& crowd) {
    const size_t speakers =
        plan["speakers"] > 0 ? plan["speakers"] : plan["clients"];
    for (size_t i = 0; i < plan["rooms"]; ++i)
        crowd.add_room("/" + std::to_string(i), plan["clients"], speakers,
                       plan["bytes"]);
    warm_up(plan, crowd);
    measure(plan, crowd, as_fast_as_it_goes(plan));
}

void slow(const Plan& plan, LoadClients& crowd) {
    const Talk messages = as_fast_as_it_goes(plan);
    crowd.add_room("/", plan["clients"] - plan["slow"], 1, plan["bytes"]);
    warm_up(plan, crowd);
    const Meter meter(plan.pid());
    crowd.talk(messages);
    const double without = meter.seconds();
    crowd.add_deaf(plan["slow"]);
    const double memory_before = memory(plan.pid());
    const double descriptors_before = descriptors(plan.pid());
    print("slowdown", measure(plan, crowd, messages) / without);
    print("growth_kb", memory(plan.pid(), "VmHWM:") - memory_before);
    print("dropped", descriptors_before - descriptors(plan.pid()));
}

/// Waits until the server has closed all but so many, and does no more.
void wait_descriptors(pid_t pid, double number) {
    const auto end = Clock::now() + std::chrono::seconds(10);
    double before = -1;
    for (double cpu = 0; descriptors(pid) > number || cpu > before;) {
        if (Clock::now() > end)
            throw std::runtime_error("the server keeps connections that ended");
        before = cpu;
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        cpu = cpu_seconds(pid);
    }
}

void idle(const Plan& plan, std::unique_ptr<LoadClients> crowd) {
    const auto clients = static_cast<double>(plan["clients"]);
    const double descriptors_before = descriptors(plan.pid());
    const double memory_before = memory(plan.pid());
    const Meter joining(plan.pid());
    crowd->add_room("/", plan["clients"], 0, 0);
    print("cpu_us", joining.cpu() * 1e6 / clients);
    const Meter waiting(plan.pid());
    std::this_thread::sleep_for(std::chrono::seconds(plan["seconds"]));
    crowd->check_silence();
    print("idle_percent", 100 * waiting.cpu() / waiting.seconds());
    const double memory_now = memory(plan.pid());
    print("memory_kb", memory_now);
    print("bytes_per_connection",
          (memory_now - memory_before) * 1024 / clients);
    crowd.reset();
    wait_descriptors(plan.pid(), descriptors_before);
    print("left_kb", memory(plan.pid()));
}

void run(const std::string& mode, const Plan& plan) {
    const std::unique_ptr<SSL_CTX, wschat::SslDeleter> tls(
        SSL_CTX_new(TLS_client_method()));
    const Contact contact{static_cast<int>(plan["port"]),
                          plan["tls"] ? tls.get() : nullptr,
                          plan["deflate"] > 0};
    auto crowd = std::make_unique<LoadClients>(contact);
    if (mode == "fanout" || mode == "rtt") return fanout(plan, *crowd);
    if (mode == "all") return all(plan, *crowd);
    if (mode == "rooms") return rooms(plan, *crowd);
    if (mode == "slow") return slow(plan, *crowd);
    if (mode == "idle") return idle(plan, std::move(crowd));
    throw std::runtime_error("what is mode " + mode + "?");
}

}  // namespace

int main(int argc, char** argv) {
    try {
        run(argc > 1 ? argv[1] : "", Plan(argc, argv));
    } catch (const std::exception& error) {
        std::fprintf(stderr, "load: %s\n", error.what());
        return 1;
    }
    std::printf("\n");
}
