// A container whose elements keep their address and their id. Knows nothing of
// what it holds.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace wschat {

/// Elements by id, a small number that stays the same until the element is
/// removed, and may then be given to another one. Each element is allocated by
/// itself: neither its id nor its address changes when others come and go, so
/// that other units may keep both.
template <typename T>
class Slots {
public:
    using Id = uint32_t;

    /// Makes an element. Returns its id.
    template <typename... Args>
    Id add(Args&&... args) {
        auto element = std::make_unique<T>(std::forward<Args>(args)...);
        if (free_.empty()) {
            elements_.push_back(std::move(element));
            return static_cast<Id>(elements_.size() - 1);
        }
        const Id id = free_.back();
        free_.pop_back();
        elements_[id] = std::move(element);
        return id;
    }

    /// Destroys an element. REQUIRES: has(id).
    void remove(Id id) {
        assert(has(id));
        elements_[id].reset();
        free_.push_back(id);
        if (size() > 0) return;
        // Give back what a peak has taken.
        elements_ = std::vector<std::unique_ptr<T>>();
        free_ = std::vector<Id>();
    }

    /// REQUIRES: has(id).
    T& operator[](Id id) { return *elements_[id]; }
    const T& operator[](Id id) const { return *elements_[id]; }

    bool has(Id id) const { return id < elements_.size() && elements_[id]; }

    /// Returns how many elements there are.
    size_t size() const { return elements_.size() - free_.size(); }

    /// Returns a number above all ids, for a loop over them: those of removed
    /// elements are among them (see has()).
    Id end() const { return static_cast<Id>(elements_.size()); }

private:
    std::vector<std::unique_ptr<T>> elements_;  // by id; null: free
    std::vector<Id> free_;
};

}  // namespace wschat
