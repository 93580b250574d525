#include "app/identity.h"

#include "base/log.h"
#include "net/listener.h"
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { LOW_PORTS = 1024 };

static bool ports_bind(const struct config *config, struct world *world, struct fault *why)
{
    const struct {
        const struct config_value *at;
        const char *setting;
    } listeners[] = {{&config->http_listen, "http.listen"},
                     {&config->mail_in_listen, "mail_in.listen"},
                     {&config->submission_listen, "submission.listen"},
                     {&config->submission_tls_listen, "submission.tls_listen"}};
    for (size_t i = 0; i < COUNT_OF(listeners); i++) {
        const struct listener_options options = {.at = listeners[i].at->endpoint, .cure_setting = listeners[i].setting};
        if (options.at.ip.family && options.at.port && options.at.port < LOW_PORTS &&
            !listener_prepare(world, &options, why))
            return false;
    }
    return true;
}

static bool become(const struct passwd *user, struct fault *why)
{
    if (initgroups(user->pw_name, user->pw_gid) != 0 || setresgid(user->pw_gid, user->pw_gid, user->pw_gid) != 0 ||
        setresuid(user->pw_uid, user->pw_uid, user->pw_uid) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return fault_errno(why, "user %s", user->pw_name);
    if (setresuid(0, 0, 0) == 0 || geteuid() != user->pw_uid || getegid() != user->pw_gid)
        return fault_set(why, FAULT_WORLD, "user %s: the rights of root did not go", user->pw_name);
    return true;
}

bool identity_take(const struct config *config, struct world *world, struct fault *why)
{
    const char *name = config->user.text;
    if (!name[0])
        return true;
    const struct passwd *user = getpwnam(name);
    if (!user)
        return fault_set(why, FAULT_INPUT, "user: there is no user \"%s\"; make one: useradd --system %s", name, name);
    if (user->pw_uid == 0)
        return fault_set(why, FAULT_INPUT, "user: %s is root", name);
    if (geteuid() == user->pw_uid)
        return true;
    if (geteuid() != 0)
        return fault_set(why, FAULT_INPUT, "user: only root can become %s; start it as root, or as %s", name, name);
    if (!ports_bind(config, world, why) || !become(user, why))
        return false;
    log_info("app", "running as %s (uid %u)", name, (unsigned)user->pw_uid);
    return true;
}
