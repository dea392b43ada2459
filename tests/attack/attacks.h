// The table of attacks: what each does, the options of the daemon that it is
// meant for, and the memory that it may cost. An attack is a function that goes
// on until its process is killed.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "attacker.h"

namespace wschat::attack {

struct Attack {
    const char* name;

    /// MiB that the daemon may use at most, with the default options.
    double max_memory;

    void (*run)(Attacker& attacker);

    const char* description;

    /// Options of the daemon, besides those of all attacks. {keys} stands for
    /// the path of a file with kPublishKey.
    std::vector<std::string> options{};

    bool tls = false;  // the daemon serves wss:// only

    /// A client that was away during the attack must be able to resume.
    bool checks_resuming = false;

    /// Messages of megabytes go to the honest clients too, which takes its time
    /// on any server: the floor is so many times as high.
    double floor_factor = 1;
};

constexpr char kPublishKey[] = "0123456789abcdef";

const std::vector<Attack>& all_attacks();

}  // namespace wschat::attack
