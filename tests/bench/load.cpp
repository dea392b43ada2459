// A load generator: simulates the clients of a relay server over loopback, and
// measures the server's cost of relaying each message to all clients of its
// room:
//
//   load MODE port=PORT pid=PID [NAME=NUMBER]...
//
//   fanout  one client sends
//   rtt     fanout with one client, and idle ones in another room
//   all     all clients send, each at a rate a second, for some seconds
//   rooms   in each room all clients, or `senders` of them, send in turn
//   slow    fanout, then once more with clients that never read
//   idle    no client sends for some seconds; then all leave
//
// Prints NAME=NUMBER pairs in one line. Every client must receive every message
// of its room once, in the same order and unchanged. Otherwise it prints the
// error and exits with 1.

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
class Parameters {
public:
    Parameters(int argc, char** argv) {
        for (int i = 2; i < argc; ++i) {
            const std::string text = argv[i];
            const size_t equals = text.find('=');
            if (equals == text.npos || !numbers_.count(text.substr(0, equals)))
                throw std::runtime_error("unknown argument " + text);
            numbers_[text.substr(0, equals)] =
                std::strtoul(&text[equals + 1], nullptr, 10);
        }
        if (numbers_["bytes"] < Transcript::kMinText)
            throw std::runtime_error("bytes is too small");
    }

    size_t operator[](const char* name) const { return numbers_.at(name); }
    pid_t pid() const { return static_cast<pid_t>(numbers_.at("pid")); }

private:
    std::map<std::string, size_t> numbers_{
        {"port", 0},     {"pid", 0},      // the server's
        {"clients", 1},                   // in each room
        {"rooms", 1},    {"senders", 0},  // 0: the default of the mode
        {"bytes", 128},                   // of a text
        {"messages", 0}, {"window", 1},   // of each room
        {"idle", 0},     {"slow", 0},     // further clients
        {"rate", 1},     {"seconds", 5},  // for all; seconds for idle
        {"tls", 0},      {"deflate", 0}};
};

void print(const char* name, double value) {
    std::printf("%s=%.3f ", name, value);
}

std::string path_of(pid_t pid, const char* file) {
    return "/proc/" + std::to_string(pid) + "/" + file;
}

/// Returns the KiB of resident memory: now (VmRSS), or at most until now
/// (VmHWM).
double memory(pid_t pid, const std::string& which = "VmRSS:") {
    std::ifstream lines(path_of(pid, "status"));
    std::string line;
    while (std::getline(lines, line))
        if (line.rfind(which, 0) == 0) return std::atof(&line[which.size()]);
    throw std::runtime_error("the server has ended");
}

/// Returns the number of the server's open descriptors.
double descriptors(pid_t pid) {
    const std::filesystem::directory_iterator all(path_of(pid, "fd"));
    return static_cast<double>(std::distance(begin(all), end(all)));
}

/// Returns the CPU time of all threads. /proc/PID/stat would round it to ticks
/// of 10 ms.
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

/// Measures the time and the server's CPU time since its construction.
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

Workload without_rate(const Parameters& parameters) {
    return {parameters["messages"], parameters["window"], 0};
}

/// Sends some messages first, because buffers are small and caches cold then.
void warm_up(const Parameters& parameters, LoadClients& clients) {
    clients.run({parameters["messages"] / 10 + 1, parameters["window"], 0});
}

/// Runs the workload and prints the results. Returns the seconds that it took.
double measure(const Parameters& parameters, LoadClients& clients,
               const Workload& workload) {
    const Meter meter(parameters.pid());
    clients.run(workload);
    const double seconds = meter.seconds();
    const double cpu = meter.cpu();
    clients.check_no_more_input();
    const auto deliveries = static_cast<double>(clients.delays().size());
    print("deliveries_per_s", deliveries / seconds);
    print("cpu_us", cpu * 1e6 / deliveries);
    print("p50_us", quantile(clients.delays(), 0.5));
    print("p99_us", quantile(clients.delays(), 0.99));
    print("wire_bytes", clients.bytes_a_message());
    print("memory_kb", memory(parameters.pid(), "VmHWM:"));
    return seconds;
}

void fanout(const Parameters& parameters, LoadClients& clients) {
    clients.add_room("/", parameters["clients"], 1, parameters["bytes"]);
    if (parameters["idle"] > 0)
        clients.add_room("/idle", parameters["idle"], 0, 0);
    warm_up(parameters, clients);
    measure(parameters, clients, without_rate(parameters));
}

void all(const Parameters& parameters, LoadClients& clients) {
    clients.add_room("/", parameters["clients"], parameters["clients"],
                     parameters["bytes"]);
    const size_t rate = parameters["rate"] * parameters["clients"];
    measure(parameters, clients,
            {rate * parameters["seconds"], 0, static_cast<double>(rate)});
}

void rooms(const Parameters& parameters, LoadClients& clients) {
    const size_t senders = parameters["senders"] > 0 ? parameters["senders"]
                                                     : parameters["clients"];
    for (size_t i = 0; i < parameters["rooms"]; ++i)
        clients.add_room("/" + std::to_string(i), parameters["clients"],
                         senders, parameters["bytes"]);
    warm_up(parameters, clients);
    measure(parameters, clients, without_rate(parameters));
}

void slow(const Parameters& parameters, LoadClients& clients) {
    const Workload messages = without_rate(parameters);
    clients.add_room("/", parameters["clients"] - parameters["slow"], 1,
                     parameters["bytes"]);
    warm_up(parameters, clients);
    const Meter meter(parameters.pid());
    clients.run(messages);
    const double without = meter.seconds();
    clients.add_non_reading(parameters["slow"]);
    const double memory_before = memory(parameters.pid());
    const double descriptors_before = descriptors(parameters.pid());
    print("slowdown", measure(parameters, clients, messages) / without);
    print("growth_kb", memory(parameters.pid(), "VmHWM:") - memory_before);
    print("dropped", descriptors_before - descriptors(parameters.pid()));
}

/// Waits until the server has at most `number` descriptors, and uses no CPU
/// time.
void wait_descriptors(pid_t pid, double number) {
    const auto end = Clock::now() + std::chrono::seconds(10);
    double before = -1;
    for (double cpu = 0; descriptors(pid) > number || cpu > before;) {
        if (Clock::now() > end)
            throw std::runtime_error(
                "the server did not close ended connections");
        before = cpu;
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        cpu = cpu_seconds(pid);
    }
}

void idle(const Parameters& parameters, std::unique_ptr<LoadClients> clients) {
    const auto number = static_cast<double>(parameters["clients"]);
    const double descriptors_before = descriptors(parameters.pid());
    const double memory_before = memory(parameters.pid());
    const Meter joining(parameters.pid());
    clients->add_room("/", parameters["clients"], 0, 0);
    print("cpu_us", joining.cpu() * 1e6 / number);
    const Meter waiting(parameters.pid());
    std::this_thread::sleep_for(std::chrono::seconds(parameters["seconds"]));
    clients->check_no_more_input();
    print("idle_percent", 100 * waiting.cpu() / waiting.seconds());
    const double memory_now = memory(parameters.pid());
    print("memory_kb", memory_now);
    print("bytes_per_connection", (memory_now - memory_before) * 1024 / number);
    clients.reset();
    wait_descriptors(parameters.pid(), descriptors_before);
    print("left_kb", memory(parameters.pid()));
}

void run(const std::string& mode, const Parameters& parameters) {
    const std::unique_ptr<SSL_CTX, wschat::SslDeleter> tls(
        SSL_CTX_new(TLS_client_method()));
    const ConnectOptions options{static_cast<int>(parameters["port"]),
                                 parameters["tls"] ? tls.get() : nullptr,
                                 parameters["deflate"] > 0};
    auto clients = std::make_unique<LoadClients>(options);
    if (mode == "fanout" || mode == "rtt") return fanout(parameters, *clients);
    if (mode == "all") return all(parameters, *clients);
    if (mode == "rooms") return rooms(parameters, *clients);
    if (mode == "slow") return slow(parameters, *clients);
    if (mode == "idle") return idle(parameters, std::move(clients));
    throw std::runtime_error("unknown mode " + mode);
}

}  // namespace

int main(int argc, char** argv) {
    try {
        run(argc > 1 ? argv[1] : "", Parameters(argc, argv));
    } catch (const std::exception& error) {
        std::fprintf(stderr, "load: %s\n", error.what());
        return 1;
    }
    std::printf("\n");
}
