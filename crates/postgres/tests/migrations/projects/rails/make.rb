# Migrates a database by Active Record, all but the last migration.
require 'active_record'

if ARGV == ['version']
  puts "Rails (Active Record) #{ActiveRecord.version}"
else
  ActiveRecord::Base.establish_connection(ENV.fetch('DATABASE_URL'))
  ActiveRecord::Migration.verbose = false
  folder = File.join(__dir__, 'db/migrate')
  ActiveRecord::MigrationContext.new(folder, ActiveRecord::SchemaMigration).migrate(20240102000000)
end
