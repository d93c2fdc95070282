import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  Outlet,
  redirect,
} from '@tanstack/react-router'
import { rememberCsrfToken } from './api/client.ts'
import { asProblem } from './api/problem.ts'
import { queries } from './api/queries.ts'
import { Broken, NotFound } from './features/shell/broken.tsx'
import { Shell } from './features/shell/shell.tsx'
import { paths } from './paths.ts'
import { queryClient } from './query-client.ts'
import * as search from './search.ts'
import { withAllTexts } from './texts/index.ts'

const root = createRootRoute({ component: Outlet, notFoundComponent: NotFound, errorComponent: Broken })

const login = createRoute({
  getParentRoute: () => root,
  path: paths.login,
  validateSearch: search.login,
  component: lazyRouteComponent(() => import('./features/session/login-page.tsx'), 'LoginPage'),
})

const setUp = createRoute({
  getParentRoute: () => root,
  path: paths.setUp,
  component: lazyRouteComponent(() => import('./features/session/set-up-page.tsx'), 'SetUpPage'),
})

/** Pages for who is logged in. */
const inside = createRoute({
  getParentRoute: () => root,
  id: 'inside',
  component: Shell,
  errorComponent: Broken,
  async beforeLoad({ location }) {
    try {
      const session = await queryClient.ensureQueryData(queries.session())
      if (session === null) throw redirect({ to: paths.login, search: { next: location.href, ended: true } })
      rememberCsrfToken(session.csrfToken)
    } catch (error) {
      if (asProblem(error).status !== 401) throw error
      const options = await queryClient.fetchQuery(queries.loginOptions())
      if (options.setupNeeded) throw redirect({ to: paths.setUp })
      throw redirect({ to: paths.login, search: { next: location.href } })
    }
  },
})

const page = <Path extends string>(path: Path) => ({ getParentRoute: () => inside, path })

const pages = [
  createRoute({
    ...page(paths.overview),
    component: lazyRouteComponent(() => import('./features/overview/overview-page.tsx'), 'OverviewPage'),
  }),
  createRoute({
    ...page(paths.backups),
    validateSearch: search.backups,
    component: lazyRouteComponent(
      () => withAllTexts(import('./features/backups/backups-page.tsx')),
      'BackupsPage',
    ),
  }),
  createRoute({
    ...page(paths.compare),
    validateSearch: search.compare,
    component: lazyRouteComponent(
      () => withAllTexts(import('./features/backups/compare-page.tsx')),
      'ComparePage',
    ),
  }),
  createRoute({
    ...page(paths.backup),
    validateSearch: search.backup,
    component: lazyRouteComponent(
      () => withAllTexts(import('./features/backups/backup-page.tsx')),
      'BackupPage',
    ),
  }),
  createRoute({
    ...page(paths.restore),
    validateSearch: search.restore,
    component: lazyRouteComponent(
      () => withAllTexts(import('./features/restore/restore-page.tsx')),
      'RestorePage',
    ),
  }),
  createRoute({
    ...page(paths.bringBack),
    component: lazyRouteComponent(
      () => withAllTexts(import('./features/restore/choose-page.tsx')),
      'ChoosePage',
    ),
  }),
  createRoute({
    ...page(paths.upload),
    component: lazyRouteComponent(
      () => withAllTexts(import('./features/restore/upload-page.tsx')),
      'UploadPage',
    ),
  }),
  createRoute({
    ...page(paths.jobs),
    validateSearch: search.jobs,
    component: lazyRouteComponent(() => withAllTexts(import('./features/jobs/jobs-page.tsx')), 'JobsPage'),
  }),
  createRoute({
    ...page(paths.job),
    component: lazyRouteComponent(() => withAllTexts(import('./features/jobs/job-page.tsx')), 'JobPage'),
  }),
  createRoute({
    ...page(paths.policies),
    component: lazyRouteComponent(
      () => withAllTexts(import('./features/policies/policies-page.tsx')),
      'PoliciesPage',
    ),
  }),
  createRoute({
    ...page(paths.newPolicy),
    validateSearch: search.newPolicy,
    component: lazyRouteComponent(
      () => withAllTexts(import('./features/policies/policy-page.tsx')),
      'NewPolicyPage',
    ),
  }),
  createRoute({
    ...page(paths.policy),
    component: lazyRouteComponent(
      () => withAllTexts(import('./features/policies/policy-page.tsx')),
      'PolicyPage',
    ),
  }),
  createRoute({
    ...page(paths.calendar),
    component: lazyRouteComponent(
      () => withAllTexts(import('./features/policies/calendar-page.tsx')),
      'CalendarPage',
    ),
  }),
  createRoute({
    ...page(paths.restores),
    component: lazyRouteComponent(
      () => withAllTexts(import('./features/restore/restores-page.tsx')),
      'RestoresPage',
    ),
  }),
  createRoute({
    ...page(paths.drills),
    component: lazyRouteComponent(
      () => withAllTexts(import('./features/drills/drills-page.tsx')),
      'DrillsPage',
    ),
  }),
  createRoute({
    ...page(paths.apps),
    component: lazyRouteComponent(() => withAllTexts(import('./features/apps/apps-page.tsx')), 'AppsPage'),
  }),
  createRoute({
    ...page(paths.newApp),
    component: lazyRouteComponent(() => withAllTexts(import('./features/apps/app-page.tsx')), 'NewAppPage'),
  }),
  createRoute({
    ...page(paths.app),
    component: lazyRouteComponent(() => withAllTexts(import('./features/apps/app-page.tsx')), 'AppPage'),
  }),
  createRoute({
    ...page(paths.repositories),
    component: lazyRouteComponent(
      () => withAllTexts(import('./features/repositories/repositories-page.tsx')),
      'RepositoriesPage',
    ),
  }),
  createRoute({
    ...page(paths.newRepository),
    component: lazyRouteComponent(
      () => withAllTexts(import('./features/repositories/repository-page.tsx')),
      'NewRepositoryPage',
    ),
  }),
  createRoute({
    ...page(paths.repository),
    component: lazyRouteComponent(
      () => withAllTexts(import('./features/repositories/repository-page.tsx')),
      'RepositoryPage',
    ),
  }),
  createRoute({
    ...page(paths.people),
    component: lazyRouteComponent(
      () => withAllTexts(import('./features/people/people-page.tsx')),
      'PeoplePage',
    ),
  }),
  createRoute({
    ...page(paths.audit),
    validateSearch: search.audit,
    component: lazyRouteComponent(() => withAllTexts(import('./features/audit/audit-page.tsx')), 'AuditPage'),
  }),
  createRoute({
    ...page(paths.settings),
    component: lazyRouteComponent(
      () => withAllTexts(import('./features/settings/settings-page.tsx')),
      'SettingsPage',
    ),
  }),
  createRoute({
    ...page(paths.profile),
    component: lazyRouteComponent(
      () => withAllTexts(import('./features/profile/profile-page.tsx')),
      'ProfilePage',
    ),
  }),
]

export const router = createRouter({
  routeTree: root.addChildren([login, setUp, inside.addChildren(pages)]),
  defaultPreload: 'intent',
  scrollRestoration: true,
  defaultErrorComponent: Broken,
  defaultNotFoundComponent: NotFound,
})

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router
  }
}
