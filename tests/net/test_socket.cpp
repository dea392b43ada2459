#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "fixtures/scratch.h"
#include "net/socket.h"

using namespace wschat;
using namespace wschat::test;

namespace {

Endpoint tcp(const std::string& address, int port = 0) {
    Endpoint endpoint;
    endpoint.address = address;
    endpoint.port = port;
    return endpoint;
}

Endpoint unix_socket(const std::string& path) {
    Endpoint endpoint;
    endpoint.address = path;
    endpoint.is_unix = true;
    return endpoint;
}

Endpoint optional(Endpoint endpoint) {
    endpoint.optional = true;
    return endpoint;
}

bool cannot_listen_at(const std::vector<Endpoint>& endpoints) {
    try {
        listen_at(endpoints);
    } catch (const std::runtime_error&) {
        return true;
    }
    return false;
}

/// Returns the error of listening there, which is one line; empty if there is
/// none.
std::string error_at(const Endpoint& endpoint) {
    try {
        Listener listener(endpoint);
    } catch (const std::runtime_error& error) {
        CHECK(std::string(error.what()).find('\n') == std::string::npos);
        CHECK(std::string(error.what())
                  .find("cannot listen on " + endpoint.to_string()) == 0);
        return error.what();
    }
    return "";
}

bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

Fd connect_to(const Endpoint& endpoint) {
    Fd fd(socket(endpoint.is_unix ? AF_UNIX : AF_INET, SOCK_STREAM, 0));
    sockaddr_un local{};
    local.sun_family = AF_UNIX;
    endpoint.address.copy(local.sun_path, sizeof local.sun_path - 1);
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(static_cast<uint16_t>(endpoint.port));
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int result =
        endpoint.is_unix
            ? connect(fd.get(), reinterpret_cast<sockaddr*>(&local),
                      sizeof local)
            : connect(fd.get(), reinterpret_cast<sockaddr*>(&v4), sizeof v4);
    REQUIRE(result == 0);
    return fd;
}

Accepted accept_next(const Listener& listener) {
    pollfd entry{listener.fd(), POLLIN, 0};
    REQUIRE(poll(&entry, 1, 10'000) == 1);
    return accept_from(listener);
}

/// Makes a socket file on which no process listens.
void make_stale(const std::string& path) {
    const Fd fd(socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    REQUIRE(bind(fd.get(), reinterpret_cast<sockaddr*>(&address),
                 sizeof address) == 0);
}

/// Does not follow links.
struct stat status_of(const std::string& path) {
    struct stat file;
    REQUIRE(lstat(path.c_str(), &file) == 0);
    return file;
}

/// Sets the limit of descriptors to those that are open, while it lives.
class NoMoreDescriptors {
public:
    NoMoreDescriptors() {
        REQUIRE(getrlimit(RLIMIT_NOFILE, &before_) == 0);
        const Fd lowest_free(dup(STDERR_FILENO));
        rlimit limit = before_;
        limit.rlim_cur = static_cast<rlim_t>(lowest_free.get());
        REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    }
    ~NoMoreDescriptors() { setrlimit(RLIMIT_NOFILE, &before_); }
    NoMoreDescriptors(const NoMoreDescriptors&) = delete;
    NoMoreDescriptors& operator=(const NoMoreDescriptors&) = delete;

private:
    rlimit before_;
};

}  // namespace

TEST_CASE("a descriptor is closed once, with its owner") {
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    Fd reading(ends[0]);
    char byte;
    {
        Fd writing(ends[1]);
        Fd owner(std::move(writing));
        CHECK(writing.get() == -1);
        CHECK(owner.get() == ends[1]);
        CHECK(write(owner.get(), "x", 1) == 1);
    }
    CHECK(read(reading.get(), &byte, 1) == 1);
    CHECK(read(reading.get(), &byte, 1) == 0);
}

TEST_CASE("IP addresses and host names are distinguished") {
    for (std::string text : {"127.0.0.1", "0.0.0.0", "255.255.255.255",
                             "::", "::1", "2001:db8::7", "::ffff:10.0.0.1"})
        CHECK(is_ip_address(text));
    for (std::string text : {"", "localhost", "127.0.0", "127.0.0.256", "[::1]",
                             "127.0.0.1:80", "::1%lo", "1::2::3", " ::1"})
        CHECK_FALSE(is_ip_address(text));
}

TEST_CASE("an endpoint has the text that users write") {
    CHECK(tcp("127.0.0.1", 9600).to_string() == "127.0.0.1:9600");
    CHECK(tcp("::1", 9600).to_string() == "[::1]:9600");
    CHECK(unix_socket("/run/chat").to_string() == "unix:/run/chat");
}

TEST_CASE("port 0 becomes a free port, which is then in use") {
    const Listener listener(tcp("127.0.0.1"));
    CHECK(listener.endpoint().port > 0);
    CHECK(has(error_at(listener.endpoint()), "in use"));
}

TEST_CASE("listening at an address of another machine fails") {
    CHECK(has(error_at(tcp("192.0.2.1")), "assign"));
    CHECK(error_at(tcp("no address")) != "");
}

TEST_CASE("without a connection none is accepted") {
    const Listener listener(tcp("127.0.0.1"));
    const Accepted none = accept_from(listener);
    CHECK((none.state == Accepted::State::None));
    CHECK(none.fd.get() == -1);
}

TEST_CASE(
    "an accepted TCP connection is non-blocking and has the peer's address") {
    const Listener listener(tcp("127.0.0.1"));
    const Fd peer = connect_to(listener.endpoint());
    const Accepted accepted = accept_next(listener);
    REQUIRE((accepted.state == Accepted::State::Peer));
    CHECK(accepted.peer.to_string() == "127.0.0.1");
    CHECK(accepted.peer.is_local());
    CHECK((fcntl(accepted.fd.get(), F_GETFL) & O_NONBLOCK) != 0);
    CHECK((fcntl(accepted.fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
    int no_delay = 0;
    socklen_t size = sizeof no_delay;
    CHECK(getsockopt(accepted.fd.get(), IPPROTO_TCP, TCP_NODELAY, &no_delay,
                     &size) == 0);
    CHECK(no_delay != 0);
}

// Regression: --stall-timeout of more than 30 s had no effect on TCP.
TEST_CASE("an accepted TCP connection has the endpoint's time limit") {
    Endpoint endpoint = tcp("127.0.0.1");
    endpoint.unacked_timeout_ms = 90'000;
    const Listener listener(endpoint);
    const Fd peer = connect_to(listener.endpoint());
    const Accepted accepted = accept_next(listener);
    REQUIRE((accepted.state == Accepted::State::Peer));
    int timeout = 0;
    socklen_t size = sizeof timeout;
    CHECK(getsockopt(accepted.fd.get(), IPPROTO_TCP, TCP_USER_TIMEOUT,
                     &timeout, &size) == 0);
    CHECK(timeout == 90'000);
}

TEST_CASE("a connection waits while there are no descriptors") {
    const Listener listener(tcp("127.0.0.1"));
    const Fd peer = connect_to(listener.endpoint());
    pollfd entry{listener.fd(), POLLIN, 0};
    REQUIRE(poll(&entry, 1, 10'000) == 1);
    {
        const NoMoreDescriptors no_more;
        CHECK(
            (accept_from(listener).state == Accepted::State::OutOfDescriptors));
    }
    CHECK((accept_from(listener).state == Accepted::State::Peer));
}

TEST_CASE("the file of a unix socket is removed with its listener") {
    const ScratchDirectory scratch;
    const std::string path = scratch / "chat";
    {
        const Listener listener(unix_socket(path));
        const Fd peer = connect_to(listener.endpoint());
        const Accepted accepted = accept_next(listener);
        REQUIRE((accepted.state == Accepted::State::Peer));
        CHECK(accepted.peer.to_string() == "unix");
        CHECK(accepted.peer.is_local());
    }
    CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("a unix socket has the given mode, whatever the umask is") {
    const ScratchDirectory scratch;
    const mode_t before = umask(0027);
    for (mode_t mode : {0600u, 0660u, 0666u, 0777u}) {
        Endpoint endpoint = unix_socket(scratch / "chat");
        endpoint.mode = mode;
        const Listener listener(endpoint);
        CHECK((status_of(endpoint.address).st_mode & 07777) == mode);
    }
    CHECK(umask(before) == 0027);
}

TEST_CASE("a stale unix socket is replaced, one that is in use is not") {
    const ScratchDirectory scratch;
    const Endpoint endpoint = unix_socket(scratch / "chat");
    make_stale(endpoint.address);
    const Listener listener(endpoint);
    CHECK(has(error_at(endpoint), "in use"));
    const Fd peer = connect_to(endpoint);
    CHECK((accept_next(listener).state == Accepted::State::Peer));
}

// Two processes that both found the file stale both replaced it: one of them
// listened at a file that was gone.
TEST_CASE("a process that starts at the path keeps others from replacing it") {
    const ScratchDirectory scratch;
    const Endpoint endpoint = unix_socket(scratch / "chat");
    make_stale(endpoint.address);
    const ino_t stale = status_of(endpoint.address).st_ino;
    {
        const Fd other(
            open((scratch / "chat.lock").c_str(), O_RDWR | O_CREAT, 0600));
        REQUIRE(flock(other.get(), LOCK_EX) == 0);
        CHECK(has(error_at(endpoint), "in use"));
        CHECK(status_of(endpoint.address).st_ino == stale);
        CHECK(std::filesystem::exists(scratch / "chat.lock"));
    }
    const Listener listener(endpoint);
    const Fd peer = connect_to(endpoint);
    CHECK((accept_next(listener).state == Accepted::State::Peer));
}

TEST_CASE("the lock file of a unix socket is removed with its listener") {
    const ScratchDirectory scratch;
    const std::string lock = scratch / "chat.lock";
    {
        const Listener listener(unix_socket(scratch / "chat"));
        CHECK((status_of(lock).st_mode & 07777) == 0600);
        CHECK(has(error_at(unix_socket(scratch / "chat")), "in use"));
        CHECK(std::filesystem::exists(lock));
    }
    CHECK_FALSE(std::filesystem::exists(lock));
    Endpoint endpoint = unix_socket(scratch / "chat");
    endpoint.group = "no such group";
    CHECK(has(error_at(endpoint), "no group"));
    CHECK_FALSE(std::filesystem::exists(lock));
}

TEST_CASE("symbolic links are not followed") {
    const ScratchDirectory scratch;
    const std::string path = scratch / "chat";
    make_stale(scratch / "elsewhere");
    std::filesystem::create_symlink(scratch / "elsewhere", path);
    CHECK(has(error_at(unix_socket(path)), "no socket"));
    std::filesystem::remove(path);
    std::filesystem::create_symlink(scratch / "none", path);
    CHECK(has(error_at(unix_socket(path)), "no socket"));
    std::filesystem::remove(path);
    std::filesystem::create_symlink(scratch / "none", path + ".lock");
    CHECK(has(error_at(unix_socket(path)), "chat.lock"));
    CHECK_FALSE(std::filesystem::exists(scratch / "none"));
    CHECK(std::filesystem::exists(scratch / "elsewhere"));
}

TEST_CASE("a listener removes only its own file") {
    const ScratchDirectory scratch;
    const std::string path = scratch / "chat";
    {
        const Listener listener(unix_socket(path));
        std::filesystem::remove(path);
        std::ofstream(path) << "another's file!";
    }
    CHECK(std::filesystem::exists(path));
    CHECK(has(error_at(unix_socket(path)), "no socket"));
    CHECK(std::filesystem::file_size(path) == 15);
}

TEST_CASE("a unix socket needs an existing directory and group, a short path") {
    const ScratchDirectory scratch;
    CHECK(has(error_at(unix_socket(scratch / "none/chat")), "No such"));
    CHECK(error_at(unix_socket("")) != "");
    CHECK(has(error_at(unix_socket(scratch / std::string(108, 'x'))),
              "107 bytes"));
    Endpoint endpoint = unix_socket(scratch / "chat");
    endpoint.group = "no such group";
    CHECK(has(error_at(endpoint), "no group"));
    CHECK_FALSE(std::filesystem::exists(endpoint.address));
}

TEST_CASE("endpoints with port 0 get the same port") {
    const std::vector<Listener> listeners =
        listen_at({tcp("127.0.0.1"), tcp("127.0.0.2"), optional(tcp("::1"))});
    REQUIRE(listeners.size() >= 2);
    for (const Listener& listener : listeners)
        CHECK(listener.endpoint().port == listeners[0].endpoint().port);
}

TEST_CASE("only an optional address may be missing on the machine") {
    const Endpoint here = tcp("127.0.0.1");
    const Endpoint elsewhere = tcp("2001:db8::7");
    CHECK(listen_at({here, optional(elsewhere)}).size() == 1);
    CHECK(listen_at({optional(elsewhere), here}).size() == 1);
    CHECK(cannot_listen_at({here, elsewhere}));
    CHECK(cannot_listen_at({here, tcp("192.0.2.1")}));
}

TEST_CASE("listening fails if all optional addresses are missing") {
    const Endpoint elsewhere = optional(tcp("2001:db8::7"));
    CHECK(cannot_listen_at({elsewhere}));
    CHECK(cannot_listen_at({elsewhere, optional(tcp("192.0.2.1"))}));
}

TEST_CASE("an optional address that is in use is an error") {
    const Listener listener(tcp("127.0.0.1"));
    CHECK(cannot_listen_at({optional(listener.endpoint()), tcp("127.0.0.2")}));
}

TEST_CASE("the limit of descriptors is raised to the hard limit") {
    rlimit before;
    REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
    rlimit low = before;
    low.rlim_cur = 64;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &low) == 0);
    raise_descriptor_limit();
    rlimit raised;
    REQUIRE(getrlimit(RLIMIT_NOFILE, &raised) == 0);
    CHECK(raised.rlim_cur == before.rlim_max);
    setrlimit(RLIMIT_NOFILE, &before);
}
