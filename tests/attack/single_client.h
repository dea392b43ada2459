// Honest clients besides those that measure: one that joins while an attack
// goes on, and one that resumes after it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "connection.h"
#include "util/clock.h"

namespace wschat::attack {

/// Joins the honest room.
class Newcomer {
public:
    explicit Newcomer(const Target& target);

    /// Returns the milliseconds from connecting to the response; none until it
    /// is there.
    std::optional<double> joined_after();

private:
    Time began_ = Clock::now();
    Connection connection_;
    std::string head_;
    std::vector<char> buffer_;
    std::optional<double> milliseconds_;
};

/// A client of the protocol wschat.v1 that leaves the honest room when it has
/// joined, and later resumes.
class Returner {
public:
    /// Joins and leaves. Throws std::runtime_error if there is no response.
    explicit Returner(const Target& target);

    /// Joins again. Returns true if the daemon says that it has missed nothing.
    bool can_resume() const;

private:
    std::string hello(const std::string& query) const;

    Target target_;
    std::string query_;  // resumes after the last message that it knows
};

}  // namespace wschat::attack
